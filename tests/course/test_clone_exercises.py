"""The exercises of notebook 05, proved: the start fails the check, the solution passes, common mistakes are told."""

from __future__ import annotations

import subprocess

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.bases import MovedBase, TouchedBase
from labkit.course.exercises.clones import Choose, ClassRoom, LetGo
from labkit.course.exercises.twins import Twins
from labkit.course.progress import CourseProgress
from labkit.errors import Refused
from tests.course.test_exercises import find_wrong, one_round, prove, solve_and_pass

ALL = (ClassRoom, Twins, LetGo, Choose, MovedBase, TouchedBase)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def test_seats_of_another_kind_of_another_point_and_twins_are_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = ClassRoom(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        vm.clone("aula-01")
        assert "1 seat of 6" in find_wrong(ex)[0]
        vm.clone("aula-02", kind="linked")
        vm.clone("aula-03", kind="linked", snapshot="lista", identity="keep")
        for name in ("aula-04", "aula-05", "aula-06"):
            vm.clone(name, kind="linked", snapshot="lista")
        assert "stands alone" in find_wrong(ex)[0]
        for name, words in (("aula-01", "snapshot='lista'"), ("aula-02", "identity='new'")):
            classroom.machines[name].delete()
            vm.clone(name, kind="linked", snapshot="lista")
            assert words in find_wrong(ex)[1]
        classroom.machines["aula-03"].delete()
        vm.clone("aula-03", kind="linked", snapshot="lista")
        assert ex.check().verdict is Verdict.DONE


def test_twin_with_a_name_alone_or_that_has_not_booted_since_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Twins(classroom, progress=progress)
    with one_round(ex):
        one, two = (classroom.machines[name] for name in ex.machines)
        two.run("hostname gemelas-2; echo gemelas-2 >/etc/hostname")
        assert "one machine-id" in find_wrong(ex)[0]
        two.run("cat /proc/sys/kernel/random/uuid >/etc/machine-id; hostname gemelas-1")
        assert "without its dashes" in find_wrong(ex)[1]
        two.run("tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; sync")
        assert "reads its name at boot" in find_wrong(ex)[1]
        two.kill()
        assert "Start it" in find_wrong(ex)[1]
        two.start().wait_ready()
        assert ex.check().verdict is Verdict.DONE
        two.kill()
        two.delete()
        assert ex.check().verdict is Verdict.BROKEN
        one.kill().clone("gemelas-2")
        assert "made again" in ex.check().why


def test_original_that_is_still_needed_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = LetGo(classroom, progress=progress)
    with one_round(ex):
        with pytest.raises(Refused, match="soltar-clon"):
            classroom.machines[ex.machine].delete()
        assert "Flatten it first" in find_wrong(ex)[1]
        classroom.machines["soltar-clon"].flatten()
        assert "Now it may go" in find_wrong(ex)[1]
        classroom.machines["soltar-clon"].delete()
        assert ex.check().verdict is Verdict.BROKEN
        ex.start()
        solve_and_pass(ex)


def test_clones_of_the_wrong_kind_are_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = Choose(classroom, progress=progress)
    with one_round(ex):
        vm = classroom.machines[ex.machine]
        vm.clone("elegir-viaje", kind="linked", snapshot="base")
        seats = vm.clone("elegir-aula-{}", snapshot="base", count=2, reflink=False)
        assert "must stand alone" in find_wrong(ex)[1]
        classroom.machines["elegir-viaje"].flatten()
        assert "share what is below" in find_wrong(ex)[1]
        assert isinstance(seats, list)
        for each in (classroom.machines["elegir-viaje"], *seats):
            each.delete()
        solve_and_pass(ex)


def test_wrong_candidate_is_refused_and_told_when_it_was_put_there_by_hand(
    classroom: Lab, progress: CourseProgress
) -> None:
    ex = MovedBase(classroom, progress=progress)
    with one_round(ex):
        altered = next(file for file in ex.folder.iterdir() if file.read_bytes() != ex.fill(file.stat().st_size))
        with pytest.raises(Refused, match="another hash"):
            classroom.machines["base-mudada-clon"].relink("data", altered)
        altered.rename(ex.place)
        classroom.machines[ex.machine].snapshots.accept_changes()
        assert "prove nothing" in find_wrong(ex)[1]
        ex.start()
        solve_and_pass(ex)


def test_accepting_an_altered_base_is_told_and_the_tool_sees_nothing(classroom: Lab, progress: CourseProgress) -> None:
    ex = TouchedBase(classroom, progress=progress)
    with one_round(ex):
        assert "does not see this" in find_wrong(ex)[1]
        top = classroom.disks["base-tocada-1.data"].path
        assert subprocess.run(["qemu-img", "check", top], check=False).returncode == 0
        for name in ex.machines[:3]:
            classroom.machines[name].snapshots.accept_changes()
        assert "was accepted" in find_wrong(ex)[0]
        ex.place.chmod(0o644)
        ex.place.write_bytes(classroom.disks["base-tocada-copia.data"].path.read_bytes())
        assert "accept_changes" in find_wrong(ex)[1]
        classroom.machines[ex.machine].snapshots.accept_changes()
        assert ex.check().verdict is Verdict.DONE
