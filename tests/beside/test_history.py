"""A long history beside others: nothing is lost, nothing is altered, nothing is deleted that was not the act's own."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from labkit import Lab
from tests.beside.history import History

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
ROUNDS = 600 if THOROUGH else 14


@pytest.mark.timeout(3000 if THOROUGH else 600)
@pytest.mark.parametrize("kernels", [2, 3])
def test_a_history_of_kernels_at_the_same_time_loses_nothing(
    lab: Lab, kernels: int, record_property: Callable[[str, object], None]
) -> None:
    history = History(lab, random.Random(kernels), kernels)  # noqa: S311 — the same history each time
    history.begin()
    try:
        for _round in range(ROUNDS):
            history.round()
            if history.chance.random() < 0.3:
                history.behind_the_back()
    finally:
        history.end()
        record_property("history", dict(history.counts))
    assert history.counts["done"] >= ROUNDS / 2, history.counts
