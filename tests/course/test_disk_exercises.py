"""The exercises of notebook 03, proved: the start fails the check, the solution passes, common mistakes are told."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.disks import Grow, MarkedDisk, Slim, TrulyFixed
from labkit.course.progress import CourseProgress
from labkit.units import MIB
from tests.course.test_exercises import find_wrong, one_round, prove, solve_and_pass

ALL = (MarkedDisk, TrulyFixed, Slim, Grow)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def test_mark_written_at_the_guests_number_and_a_missing_disk_are_told(
    classroom: Lab, progress: CourseProgress
) -> None:
    ex = MarkedDisk(classroom, progress=progress)
    with one_round(ex):
        path = classroom.disks["marca-qcow2"].path
        with path.open("r+b") as file:
            file.seek(ex.offset)
            before = file.read(len(ex.reply))
            file.seek(ex.offset)
            file.write(ex.reply)
        assert "the guest's position" in find_wrong(ex)[0]
        with path.open("r+b") as file:
            file.seek(ex.offset)
            file.write(before)
        solve_and_pass(ex)
        classroom.machines["marca"].detach("marca-vdi")
        classroom.disks["marca-vdi"].delete()
        assert ex.check().verdict is Verdict.BROKEN
        assert "ex.start()" in ex.hint().text


def test_empty_disk_in_place_of_the_false_one_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = TrulyFixed(classroom, progress=progress)
    with one_round(ex):
        before = classroom.disks[ex.slug].facts
        assert before.allocated < MIB < before.length
        classroom.disks[ex.slug].delete()
        classroom.disks.create(ex.slug, capacity="32 MiB", format="vhd", allocation="fixed")
        assert "no longer there" in find_wrong(ex)[0]
        ex.start()
        solve_and_pass(ex)


def test_file_that_was_to_be_kept_and_was_written_over_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Slim(classroom, progress=progress)
    with one_round(ex):
        assert "nobody told the disk" in find_wrong(ex)[0]
        solve_and_pass(ex)
        classroom.machines[ex.machine].run("printf overwritten | dd of=/mnt/vdb/keep conv=notrunc,fsync")
        assert "keep is gone" in find_wrong(ex)[0]


def test_disk_grown_without_its_file_system_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Grow(classroom, progress=progress)
    with one_round(ex):
        assert "full" in find_wrong(ex)[0]
        classroom.disks["crecer-datos"].resize("32 MiB")
        assert find_wrong(ex)[0] == "The disk grew, not its file system."
        classroom.machines[ex.machine].run("resize2fs /dev/vdb; sync")
        assert ex.check().verdict is Verdict.DONE
