"""The exercises of notebook 04, proved: the start fails the check, the solution passes, common mistakes are told."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.snapshots import Free, Instant, ThisTree, WithoutLoss
from labkit.course.progress import CourseProgress
from tests.course.test_exercises import find_wrong, one_round, prove, solve_and_pass

ALL = (ThisTree, WithoutLoss, Free, Instant)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def test_chain_in_place_of_a_tree_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = ThisTree(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        for name in ("base", "left", "leaf", "right"):
            ex.write(vm, ex.word(name))
            vm.snapshots.take(name)
        assert "right comes after leaf" in find_wrong(ex)[0]
        assert "restore base before" in ex.hint().text
        vm.snapshots.delete("right")
        vm.snapshots.restore("base")
        ex.write(vm.wait_ready(), ex.word("right"))
        vm.snapshots.take("right")
        assert ex.check().verdict is Verdict.DONE


def test_lost_work_is_a_broken_precondition(classroom: Lab, progress: CourseProgress) -> None:
    ex = WithoutLoss(classroom, progress=progress)
    with one_round(ex):
        solve_and_pass(ex)
        snapshots = classroom.machines[ex.machine].snapshots
        snapshots.restore("clean")
        snapshots.delete("work")
        assert ex.check().verdict is Verdict.BROKEN
        assert "save_current" in ex.hint().text


def test_needed_state_that_was_deleted_is_a_broken_precondition(classroom: Lab, progress: CourseProgress) -> None:
    ex = Free(classroom, progress=progress)
    with one_round(ex):
        solve_and_pass(ex)
        classroom.machines[ex.machine].snapshots.delete("b")
        assert ex.check().verdict is Verdict.BROKEN


def test_boot_in_place_of_the_instant_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Instant(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        vm.snapshots.restore("night").take("again")
        assert "does not run" in find_wrong(ex)[0]
        vm.start().wait_ready()
        assert "taken off" in find_wrong(ex)[1]
        solve_and_pass(ex)
