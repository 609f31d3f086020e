"""The exercises in which something is out of order, proved: as the others, and each wrong repair gets its hint."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.progress import Progress
from labkit.course.storage_exercises import FullHost, Misnamed
from labkit.errors import BadInput, WrongState
from tests.course.test_exercises import prove


@pytest.mark.parametrize("kind", [Misnamed, FullHost], ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_twice_and_reset_leaves_nothing(
    kind: type[Exercise], lab: Lab, progress: Progress
) -> None:
    ex = kind(lab, progress=progress)
    prove(ex)
    assert not ex.folder.exists()


def test_container_taken_for_content_is_told_whatever_it_is_called(lab: Lab, progress: Progress) -> None:
    ex = Misnamed(lab, progress=progress)
    ex.start()
    vm = lab.machines[ex.machine]
    wrong, right = ex.disks
    assert vm.run("labkit-mount vdb").exit_code != 0
    assert "begins with KDMV" in ex.check().why
    vm.detach(wrong)
    with pytest.raises(BadInput, match="its content is vmdk"):
        lab.disks.import_file(ex.file, right)
    vm.attach(lab.disks[wrong].convert(right, format="vmdk"))
    assert "holds the container" in ex.check().why
    assert "name does not change the format" in ex.hint().text


def test_right_image_that_is_not_mounted_yet_is_told_step_by_step(lab: Lab, progress: Progress) -> None:
    ex = Misnamed(lab, progress=progress)
    ex.start()
    right = lab.disks.import_file(ex.file, ex.disks[1], format="vmdk")
    assert "not attached" in ex.check().why
    lab.machines[ex.machine].attach(right)
    assert "labkit-mount vdc" in ex.hint().text
    lab.machines[ex.machine].kill()
    assert "is off" in ex.check().why
    ex.file.unlink()
    assert ex.check().verdict is Verdict.BROKEN


def test_full_host_is_named_and_a_boot_in_place_of_a_resume_is_told(lab: Lab, progress: Progress) -> None:
    ex = FullHost(lab, progress=progress)
    assert "no space left" in ex.start().why
    vm = lab.machines[ex.machine]
    with pytest.raises(WrongState, match="paused again"):
        vm.resume()
    assert "room" in ex.hint().text
    vm.kill()
    assert (ex.check().verdict, "is off" in ex.check().why) == (Verdict.BROKEN, True)
    vm.start().wait_ready()
    assert (ex.check().verdict, "rebooted" in ex.check().why) == (Verdict.BROKEN, True)
    assert "ex.start()" in ex.hint().text
