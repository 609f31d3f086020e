"""The exercises of notebook 04, proved: the start fails the check, the solution passes, common mistakes are told."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.progress import Progress
from labkit.course.snapshot_exercises import Free, Instant, ThisTree, WithoutLoss
from tests.course.test_exercises import prove

ALL = (ThisTree, WithoutLoss, Free, Instant)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_twice_and_reset_leaves_nothing(
    kind: type[Exercise], lab: Lab, progress: Progress
) -> None:
    prove(kind(lab, progress=progress))


def test_chain_in_place_of_a_tree_is_told(lab: Lab, progress: Progress) -> None:
    ex = ThisTree(lab, progress=progress)
    ex.start()
    vm = lab.machines[ex.machine]
    for name in ("base", "left", "leaf", "right"):
        ex.write(vm, ex.word(name))
        vm.snapshots.take(name)
    assert "right comes after leaf" in ex.check().why
    assert "restore base before" in ex.hint().text


def test_lost_work_is_a_broken_precondition(lab: Lab, progress: Progress) -> None:
    ex = WithoutLoss(lab, progress=progress)
    ex.start()
    lab.machines[ex.machine].snapshots.restore("clean")
    assert ex.check().verdict is Verdict.BROKEN
    assert "save_current" in ex.hint().text


def test_needed_state_that_was_deleted_is_a_broken_precondition(lab: Lab, progress: Progress) -> None:
    ex = Free(lab, progress=progress)
    ex.start()
    lab.machines[ex.machine].snapshots.delete("b")
    assert ex.check().verdict is Verdict.BROKEN


def test_boot_in_place_of_the_instant_is_told(lab: Lab, progress: Progress) -> None:
    ex = Instant(lab, progress=progress)
    ex.start()
    lab.machines[ex.machine].snapshots.restore("night").take("again")
    assert "does not run" in ex.check().why
    lab.machines[ex.machine].start().wait_ready()
    assert "taken off" in ex.hint().text
