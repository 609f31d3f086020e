"""The exercises of notebook 03, proved: the start fails the check, the solution passes, common mistakes are told."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.disk_exercises import Grow, Mark, Slim, TrulyFixed
from labkit.course.exercise import Exercise, Verdict
from labkit.course.progress import Progress
from labkit.units import MIB
from tests.course.test_exercises import prove

ALL = (Mark, TrulyFixed, Slim, Grow)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_twice_and_reset_leaves_nothing(
    kind: type[Exercise], lab: Lab, progress: Progress
) -> None:
    prove(kind(lab, progress=progress))


def test_mark_written_at_the_guests_number_is_told(lab: Lab, progress: Progress) -> None:
    ex = Mark(lab, progress=progress)
    ex.start()
    with lab.disks["marca-qcow2"].path.open("r+b") as file:
        file.seek(ex.offset)
        file.write(ex.reply)
    result = ex.check()
    assert result.verdict is Verdict.WRONG
    assert "the guest's position" in result.why


def test_empty_disk_in_place_of_the_false_one_is_told(lab: Lab, progress: Progress) -> None:
    ex = TrulyFixed(lab, progress=progress)
    ex.start()
    before = lab.disks[ex.slug].facts
    assert before.allocated < MIB < before.length
    lab.disks[ex.slug].delete()
    lab.disks.create(ex.slug, capacity="32 MiB", format="vhd", allocation="fixed")
    assert "no longer there" in ex.check().why


def test_disk_grown_without_its_file_system_is_told(lab: Lab, progress: Progress) -> None:
    ex = Grow(lab, progress=progress)
    ex.start()
    assert "full" in ex.check().why
    lab.disks["crecer-datos"].resize("32 MiB")
    assert ex.check().why == "The disk grew, not its file system."


def test_missing_disk_is_a_broken_precondition(lab: Lab, progress: Progress) -> None:
    ex = Mark(lab, progress=progress)
    ex.start()
    lab.machines["marca"].detach("marca-vdi")
    lab.disks["marca-vdi"].delete()
    assert ex.check().verdict is Verdict.BROKEN
    assert "ex.start()" in ex.hint().text
