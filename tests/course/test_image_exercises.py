"""The exercises in which images are out of order, proved: as the others, and each wrong repair gets its hint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.images import BrokenChain, NobodysImages
from labkit.course.progress import CourseProgress
from labkit.errors import Refused
from tests.course.test_exercises import find_wrong, one_round, prove


@pytest.mark.parametrize("kind", [NobodysImages, BrokenChain], ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_and_reset_leaves_nothing(
    kind: type[Exercise], classroom: Lab, progress: CourseProgress
) -> None:
    prove(kind(classroom, progress=progress))


# The second round of each, in the same lab, is one in which somebody goes astray.


def test_orphan_that_is_left_is_named_and_a_needed_image_that_went_too_is_told(
    classroom: Lab, progress: CourseProgress
) -> None:
    ex = NobodysImages(classroom, progress=progress)
    with one_round(ex):
        first, second, last = ex.orphans
        last.unlink()
        assert "2 images" in find_wrong(ex)[0]
        assert second.name in ex.hint().text
        second.unlink()
        assert first.name in ex.hint().text
        first.unlink()
        assert ex.check().verdict is Verdict.DONE
        named = {disk.path for node in ex.tree.nodes.values() for disk in node.disks}
        nameless = next(layer for layer in classroom.disks[ex.disks[0]].layers[1:] if layer.path not in named)
        Path(nameless.path).unlink()
        assert (ex.check().verdict, "needs is gone" in ex.check().why) == (Verdict.BROKEN, True)


def test_chain_that_was_repaired_in_a_wrong_way_is_told(classroom: Lab, progress: CourseProgress) -> None:
    ex = BrokenChain(classroom, progress=progress)
    with one_round(ex):
        with pytest.raises(Refused, match=ex.place.name):
            classroom.machines[ex.machine].start()

        # its header is pointed to where the base lies now
        above = next(Path(disk.path) for disk in ex.tree["work"].disks if disk.target == "vdb")
        above.chmod(0o644)
        point_to = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b"]
        subprocess.run([*point_to, ex.folder / ex.place.name, above], check=True)
        assert "not the same image" in find_wrong(ex)[0]
        subprocess.run([*point_to, ex.place, above], check=True)
        above.chmod(0o444)

        # the empty image is accepted
        vm = classroom.machines[ex.machine]
        vm.snapshots.accept_changes()
        assert vm.snapshots.why_not_start() is None
        assert "opens, but it is not the same image" in find_wrong(ex)[0]

        # then nothing is there, which the solution repairs, but for what was accepted
        ex.place.unlink()
        assert "There is no cadena-rota-data.0.qcow2" in find_wrong(ex)[0]
        assert "ex.folder" in ex.hint().text
        (ex.folder / ex.place.name).replace(ex.place)
        assert "accept_changes" in find_wrong(ex)[1]
        vm.snapshots.accept_changes()
        assert ex.check().verdict is Verdict.DONE
