"""Frozen images that another tool writes to are noticed before anything is started or restored from them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.seals import break_seals, find_changed, seal
from labkit.errors import Refused
from labkit.machine import Machine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lab's folder of disks with one image."""
    disks = tmp_path / "disks"
    disks.mkdir()
    (disks / "d.0.raw").write_bytes(b"as it was")
    return disks


def test_an_image_that_stays_as_it_is_is_not_changed(folder: Path) -> None:
    image = str(folder / "d.0.raw")
    assert find_changed(folder, [image]) == []  # never sealed
    seal([image])
    assert find_changed(folder, [image]) == []


@pytest.mark.parametrize("content", [b"as it is!", b"longer than it was"])
def test_another_content_is_a_change(folder: Path, content: bytes) -> None:
    image = folder / "d.0.raw"
    seal([str(image)])
    image.write_bytes(content)
    os.utime(image, ns=(1, 1))  # not every kernel tells two instants so near to each other apart
    assert find_changed(folder, [str(image)]) == [str(image)]


def test_another_time_alone_heals(folder: Path) -> None:
    image = folder / "d.0.raw"
    seal([str(image)])
    os.utime(image, ns=(1, 1))
    assert find_changed(folder, [str(image)]) == []
    kept = json.loads((folder.parent / "seals.json").read_text())
    assert kept["d.0.raw"]["mtime_ns"] == 1


def test_the_seal_of_a_vanished_image_stays_to_prove_a_copy_until_it_is_forgotten(folder: Path) -> None:
    other = folder / "e.0.raw"
    other.touch()
    seal([str(folder / "d.0.raw"), str(other)])
    (folder / "d.0.raw").unlink()
    seal([str(other)])
    assert list(json.loads((folder.parent / "seals.json").read_text())) == ["d.0.raw", "e.0.raw"]
    break_seals([str(folder / "d.0.raw"), str(folder / "never-sealed.0.raw")])
    assert list(json.loads((folder.parent / "seals.json").read_text())) == ["e.0.raw"]


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine that is off, with a snapshot."""
    vm = lab.create("s", image="sector", memory="32 MiB")
    vm.snapshots.take("one")
    return vm


def test_a_changed_image_is_refused_by_name_at_a_start_and_at_a_restore(vm: Machine) -> None:
    image = Path(vm.snapshots["one"].disks[0].path)
    image.chmod(0o644)
    with image.open("r+b") as file:
        file.seek(440)
        file.write(b"!")
    for act in (vm.start, lambda: vm.snapshots.restore("one")):
        with pytest.raises(Refused, match=f"{image.name} of s.vda was changed by another program") as refusal:
            act()
        assert "accept_changes()" in refusal.value.hint
    image.chmod(0o444)
    vm.snapshots.accept_changes()
    vm.snapshots.restore("one")
    vm.start()
    vm.kill()


def test_a_lab_brought_back_from_a_copy_works(vm: Machine) -> None:
    image = Path(vm.snapshots["one"].disks[0].path)
    copy = shutil.copyfile(image, image.with_suffix(".copy"))
    copy.chmod(0o444)
    Path(copy).rename(image)
    vm.start()
    vm.kill()


def test_a_merge_renews_the_seal_of_what_it_rewrites(vm: Machine) -> None:
    vm.snapshots.take("two").take("three")
    vm.snapshots.delete("two")
    vm.snapshots.restore("three")
    vm.start()
    vm.kill()
