"""The exercises in which images are out of order, proved: as the others, and each wrong repair gets its hint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course.exercise import Exercise, Verdict
from labkit.course.image_exercises import BrokenChain, Orphans
from labkit.course.progress import Progress
from labkit.errors import Refused
from tests.course.test_exercises import prove


@pytest.mark.parametrize("kind", [Orphans, BrokenChain], ids=lambda kind: kind.slug)
def test_start_fails_solution_passes_twice_and_reset_leaves_nothing(
    kind: type[Exercise], lab: Lab, progress: Progress
) -> None:
    ex = kind(lab, progress=progress)
    prove(ex)
    assert not ex.folder.exists()
    assert list((lab.home / "disks").iterdir()) == []


def test_orphan_that_is_left_is_named_and_a_needed_image_that_went_too_is_told(lab: Lab, progress: Progress) -> None:
    ex = Orphans(lab, progress=progress)
    ex.start()
    first, second, last = ex.orphans
    last.unlink()
    assert "2 images" in ex.check().why
    assert second.name in ex.hint().text
    second.unlink()
    assert first.name in ex.hint().text
    named = {disk.path for node in ex.tree.nodes.values() for disk in node.disks}
    nameless = next(layer for layer in lab.disks[ex.disks[0]].layers[1:] if layer.path not in named)
    Path(nameless.path).unlink()
    assert (ex.check().verdict, "needs is gone" in ex.check().why) == (Verdict.BROKEN, True)


def test_base_that_is_missing_is_told_and_start_says_what_is_wrong(lab: Lab, progress: Progress) -> None:
    ex = BrokenChain(lab, progress=progress)
    ex.start()
    with pytest.raises(Refused, match=ex.place.name):
        lab.machines[ex.machine].start()
    ex.place.unlink()
    assert "There is no cadena-rota-data.0.qcow2" in ex.check().why
    assert "ex.folder" in ex.hint().text


def test_wrong_image_that_was_accepted_is_told(lab: Lab, progress: Progress) -> None:
    ex = BrokenChain(lab, progress=progress)
    ex.start()
    vm = lab.machines[ex.machine]
    vm.snapshots.accept_changes()
    assert vm.snapshots.why_not_start() is None
    assert "opens, but it is not the same image" in ex.check().why
    (ex.folder / ex.place.name).replace(ex.place)
    assert "accept_changes" in ex.hint().text
    vm.snapshots.accept_changes()
    assert ex.check().verdict is Verdict.DONE


def test_header_that_was_pointed_elsewhere_is_told(lab: Lab, progress: Progress) -> None:
    ex = BrokenChain(lab, progress=progress)
    ex.start()
    above = next(Path(disk.path) for disk in ex.tree["work"].disks if disk.target == "vdb")
    above.chmod(0o644)
    moved = ex.folder / ex.place.name
    subprocess.run(["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", moved, above], check=True)
    assert ex.check().verdict is not Verdict.DONE
    assert ex.hint().text
