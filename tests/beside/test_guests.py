"""Running guests under two kernels, with deaths of all kinds: no point loses what it holds, and no file is lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.beside.courses import Course
from tests.instance import Instance

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
ROUNDS = 170 if THOROUGH else 14
SEEDS = (1, 2, 3) if THOROUGH else (1,)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(6000 if THOROUGH else 600)
def test_a_history_of_guests_under_two_kernels_loses_nothing(
    instance: Instance, seed: int, record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()
    try:
        Course(kind="guests", kernels=2, seed=seed, size=ROUNDS).run(instance, counts)
    finally:
        record_property("history", dict(counts))
    assert counts["guest steps done"] >= ROUNDS * 0.8, counts
