"""A long history beside others: nothing is lost, nothing is altered, nothing is deleted that was not the act's own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.beside.courses import Course
from tests.instance import Instance

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
ROUNDS = 600 if THOROUGH else 14


@pytest.mark.timeout(3000 if THOROUGH else 600)
@pytest.mark.parametrize("kernels", [2, 3])
def test_a_history_of_kernels_at_the_same_time_loses_nothing(
    instance: Instance, kernels: int, record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()
    try:
        Course(kind="kernels", kernels=kernels, seed=kernels, size=ROUNDS).run(instance, counts)
    finally:
        record_property("history", dict(counts))
    assert counts["done"] >= ROUNDS / 2, counts
