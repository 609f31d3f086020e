"""The cost of first writes is measured, repeated, and leaves nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from labkit.errors import Cancelled
from labkit.limits import Limit
from labkit.storage.cost import DYNAMIC, FIXED, ON_BASE, SUBCLUSTERS, measure_cost
from tests.storage.tools import names

ALL = (FIXED, DYNAMIC, ON_BASE, SUBCLUSTERS)


def test_each_is_measured_in_every_repetition(tmp_path: Path) -> None:
    runs: list[tuple[int, int]] = []
    timings = measure_cost(
        tmp_path, ALL, writes=64, repetitions=2, on_run=lambda done, every: runs.append((done, every))
    )
    assert [timing.slug for timing in timings] == [subject.slug for subject in ALL]
    assert all(len(timing.first) == len(timing.again) == 2 for timing in timings)
    assert all(second > 0 for timing in timings for second in (*timing.first, *timing.again))
    assert runs == [(run, 8) for run in range(1, 9)]
    assert names(tmp_path) == []


@pytest.mark.alone
def test_a_first_write_on_a_base_copies_a_cluster_and_costs_more(tmp_path: Path) -> None:
    (timing,) = measure_cost(tmp_path, (ON_BASE,), writes=1500, repetitions=3)
    assert sorted(timing.first)[1] > sorted(timing.again)[1]


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        measure_cost(tmp_path, ALL, writes=64, on_run=lambda _done, _every: cancel.set(), limit=Limit(cancel=cancel))
    assert names(tmp_path) == []
