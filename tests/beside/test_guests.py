"""Running guests under two kernels, with deaths of all kinds: no point loses what it holds, and no file is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from labkit import Lab
from tests.beside.guests import GuestHistory
from tests.instance import Instance

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
ROUNDS = 170 if THOROUGH else 14
SEEDS = (1, 2, 3) if THOROUGH else (1,)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(6000 if THOROUGH else 600)
def test_a_history_of_guests_under_two_kernels_loses_nothing(
    lab: Lab, instance: Instance, seed: int, record_property: Callable[[str, object], None]
) -> None:
    history = GuestHistory(lab, instance, random.Random(seed))  # noqa: S311 — the same history each time
    history.begin()
    try:
        for _round in range(ROUNDS):
            history.round()
    finally:
        history.end()
        record_property("history", dict(history.counts))
    assert history.counts["guest steps done"] >= ROUNDS * 0.8, history.counts
