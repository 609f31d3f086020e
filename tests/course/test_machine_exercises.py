"""The exercises of notebooks 01 and 02, proved: the start fails, the solution passes, common mistakes are told."""

from __future__ import annotations

import os
import signal

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.host import Move, OtherCpu, PowerCut, WhoFell
from labkit.course.exercises.hypervisors import Clues, OtherController, Partition
from labkit.course.exercises.sharing import NoisyNeighbour, WhoSpends
from labkit.course.progress import CourseProgress
from labkit.experiments import stop_writing
from tests.course.test_exercises import find_wrong, one_round, prove, solve_and_pass

ALL = (WhoFell, PowerCut, OtherCpu, Move, NoisyNeighbour, WhoSpends, Clues, OtherController, Partition)
ALONE: dict[type[Exercise], pytest.MarkDecorator] = {NoisyNeighbour: pytest.mark.alone}
"""Those that compare speeds."""


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.slug, marks=ALONE.get(kind, ())) for kind in ALL])
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def why(ex: Exercise) -> str:
    """What a check finds wrong."""
    return find_wrong(ex)[0]


def test_restarting_the_others_too_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = WhoFell(classroom, progress=progress)
    with one_round(ex):
        solve_and_pass(ex)
        other = next(name for name in ex.machines if name != ex.fallen)
        classroom.machines[other].kill().start().wait_ready()
        assert f"You restarted {other}" in why(ex)


def test_cutting_the_power_through_the_hypervisor_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = PowerCut(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        vm.kill()
        assert "its power was cut" in why(ex)
        process = vm.start().process
        assert process is not None
        os.kill(process.pid, signal.SIGTERM)
        vm.wait_for("off")
        assert "shut down" in why(ex)
        vm.start()
        solve_and_pass(ex)


def test_definition_without_a_start_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = OtherCpu(classroom, progress=progress)
    with one_round(ex):
        classroom.machines[ex.machine].configure(cpu_model=ex.model)
        assert "needs a start" in why(ex)
        solve_and_pass(ex)


def test_clone_in_place_of_the_machine_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Move(classroom, progress=progress)
    with one_round(ex):
        assert "still here" in why(ex)
        vm = classroom.machines[ex.machine]
        file = vm.export(classroom.home / "copy.labkit")
        with ex.elsewhere as elsewhere:
            copy = elsewhere.import_machine(file, identity="new")
            assert "two of them" in why(ex)
            vm.delete()
            assert "does not answer" in why(ex)
            copy.start().wait_ready()
            assert "another machine-id" in why(ex)
            copy.kill()
            copy.delete()
        classroom.import_machine(file)
        file.unlink()
        solve_and_pass(ex)


def test_a_moved_machine_that_lost_what_the_check_reads_inside_is_told(
    classroom: Lab, progress: CourseProgress
) -> None:
    ex = Move(classroom, progress=progress)
    with one_round(ex):
        solve_and_pass(ex)
        with ex.elsewhere as elsewhere:
            elsewhere.machines[ex.machine].run("rm /root/labkit-id")
        result = ex.check()
        assert result.verdict is Verdict.BROKEN
        assert "not as the exercise has made it" in result.why
        assert "ex.start()" in result.hint


@pytest.mark.alone
def test_silencing_the_neighbour_in_other_ways_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = NoisyNeighbour(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        vm.throttle(ex.disks[0], iops=5000)
        assert "5000 requests" in why(ex)
        solve_and_pass(ex)
        vm.throttle(ex.disks[0], bytes_per_second="64 KiB")
        assert ex.check().verdict is Verdict.DONE
        stop_writing(vm)
        assert "ended A's work" in why(ex)
        vm.kill()
        assert "switched A off" in why(ex)


def test_pausing_the_wrong_one_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = WhoSpends(classroom, progress=progress)
    with one_round(ex):
        idle = next(name for name in ex.machines if name != ex.spender)
        classroom.machines[idle].pause()
        assert "hardly works" in why(ex)
        classroom.machines[idle].resume()
        solve_and_pass(ex)
        classroom.machines[ex.spender].kill()
        assert "switched it off" in why(ex)


def test_imitated_and_missing_devices_are_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Clues(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        for written, words in (("8086:1237 8086:29c0", "once sold"), ("1af4:ffff", "no device"), ("", "no list")):
            vm.run(f"echo {written} >{ex.file}")
            assert words in why(ex)
        vm.run(f"cat /sys/bus/pci/devices/*/vendor | grep -q 1b36; echo 1af4:1005 1af4:1044 >{ex.file}")
        assert "no device" in why(ex)
        solve_and_pass(ex)


def test_disk_on_the_right_bus_of_a_machine_that_is_off_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = OtherController(classroom, progress=progress)
    with one_round(ex):
        solve_and_pass(ex)
        vm = classroom.machines[ex.machine]
        vm.stop()
        vm.detach(ex.disks[0])
        assert "is free" in why(ex)
        vm.attach(ex.disks[0], bus="ide")
        assert "not looked at the disk yet" in why(ex)


def test_renaming_the_whole_machine_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Partition(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        apart = f"sh -c 'echo {ex.mark} >/proc/sys/kernel/hostname; exec sleep 100000' </dev/null >/dev/null 2>&1 &"
        vm.run(f"unshare -u {apart}")
        assert "number from the machine's list" in why(ex)
        vm.run(f"hostname {ex.mark}")
        assert "renamed the whole machine" in why(ex)
        vm.run(f"hostname {ex.machine}")
        solve_and_pass(ex)
