"""The exercises in which something is out of order, proved: as the others, and each wrong repair gets its hint."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.storage import FullHost, Misnamed
from labkit.course.progress import CourseProgress
from labkit.errors import BadInput, WrongState
from tests.course.test_exercises import find_wrong, one_round, prove, solve_and_pass


@pytest.mark.parametrize("kind", [Misnamed, FullHost], ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def test_container_taken_for_content_is_told_and_the_right_image_step_by_step(
    classroom: Lab, progress: CourseProgress
) -> None:
    ex = Misnamed(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        wrong, right = ex.disks
        assert vm.run("labkit-mount vdb").exit_code != 0
        assert "begins with KDMV" in find_wrong(ex)[0]
        vm.detach(wrong)
        with pytest.raises(BadInput, match="its content is vmdk"):
            classroom.disks.import_file(ex.file, right)
        vm.attach(classroom.disks[wrong].convert(right, format="vmdk"))
        assert "holds the container" in find_wrong(ex)[0]
        assert "name does not change the format" in ex.hint().text

        vm.detach(right)
        classroom.disks[right].delete()
        vm.attach(wrong)
        classroom.disks.import_file(ex.file, right, format="vmdk")
        assert "not attached" in find_wrong(ex)[0]
        vm.attach(right)
        assert "labkit-mount vdc" in find_wrong(ex)[1]
        vm.run("labkit-mount vdc")
        assert ex.check().verdict is Verdict.DONE

        vm.kill()
        assert "is off" in find_wrong(ex)[0]
        ex.file.unlink()
        assert ex.check().verdict is Verdict.BROKEN


def test_full_host_is_named_and_a_boot_in_place_of_a_resume_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = FullHost(classroom, progress=progress)
    with one_round(ex):
        assert "no space left" in find_wrong(ex)[0]
        vm = classroom.machines[ex.machine]
        with pytest.raises(WrongState, match="paused again"):
            vm.resume()
        assert "room" in find_wrong(ex)[1]
        solve_and_pass(ex)
        vm.kill()
        assert (ex.check().verdict, "is off" in ex.check().why) == (Verdict.BROKEN, True)
        vm.start().wait_ready()
        assert (ex.check().verdict, "rebooted" in ex.check().why) == (Verdict.BROKEN, True)
        assert "ex.start()" in ex.hint().text
