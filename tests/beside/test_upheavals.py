"""A long history whose lab is forgotten, brought back, copied, moved and meddled with between the rounds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.beside.courses import UPHEAVALS, Course
from tests.instance import Instance

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
TURNS = 25 if THOROUGH else 1
"""How often each upheaval comes."""


@pytest.mark.timeout(20000 if THOROUGH else 900)
@pytest.mark.parametrize("kernels", [2, 3])
def test_a_history_of_upheavals_loses_nothing(
    instance: Instance, kernels: int, record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()
    try:
        Course(kind="upheavals", kernels=kernels, seed=kernels, size=TURNS).run(instance, counts)
    finally:
        record_property("history", dict(counts))
    assert counts["upheavals"] == TURNS * UPHEAVALS
