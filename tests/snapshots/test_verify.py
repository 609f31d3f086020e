"""What is found when every frozen file is read whole, and what is done about it: verify, accept, relink, convert."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab, cli
from labkit.doctor.losses import check_seals
from labkit.engine.seals import complete, find_changed, find_seals, seal
from labkit.engine.verification import verify
from labkit.errors import LabError, Refused, WrongState
from labkit.machine import Machine
from labkit.model.diagnosis import Status
from labkit.model.image import Format
from labkit.model.lineage import read_lineage
from labkit.model.losses import find_losses
from labkit.plans.disk import plan_attach
from labkit.plans.snapshot import SnapshotSurvey, plan_delete, plan_take
from labkit.units import GIB
from labkit.widgets import LabPanel
from tests.snapshots.test_guests import hash_content
from tests.snapshots.world import World

SURVEY = SnapshotSurvey(free_bytes=100 * GIB)


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with three snapshots, off."""
    vm = lab.create("web", image="sector", memory="32 MiB", disk_format="qcow2")
    vm.snapshots.take("one").take("two").take("three")
    return vm


def _image(vm: Machine, snapshot: str = "one") -> Path:
    return Path(vm.snapshots[snapshot].disks[0].path)


def _write(image: Path, *, keeps_time: bool = False) -> None:
    """Change the last byte of an image, as another program may."""
    info = image.stat()
    image.chmod(0o644)
    with image.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        old = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([old[0] ^ 0xFF]))
    image.chmod(0o444)
    os.utime(image, ns=(1, info.st_mtime_ns if keeps_time else 1))


def test_what_was_changed_in_secret_is_found_by_verify_and_refused_from_then_on(vm: Machine) -> None:
    lab, image = vm.lab, _image(vm)
    assert lab.verify()
    _write(image, keeps_time=True)
    assert vm.snapshots.restore.plan("three").refusal is None  # nothing but reading it whole can tell
    found = lab.verify()
    assert not found
    assert found.changed == (image,)
    assert f"{image.name} was changed by another program. It is read by: web" in str(found)
    refusal = vm.snapshots.restore.plan("three").refusal
    assert refusal is not None
    assert f"{image.name} of web.vda was changed by another program" in refusal.why
    with Lab.open(lab.name) as other, pytest.raises(Refused):
        other.machines["web"].start()
    _write(image, keeps_time=True)  # the content is as it was
    assert vm.snapshots.restore.plan("three").refusal is None
    assert lab.verify()


def test_the_command_verifies_a_lab_and_says_by_its_exit_code_what_it_found(
    vm: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "--lab", vm.lab.name]) == 0
    assert "3 files are what they were" in capsys.readouterr().out
    _write(_image(vm), keeps_time=True)
    assert cli.main(["verify", "--lab", vm.lab.name]) == 1
    assert "was changed by another program" in capsys.readouterr().out


def test_verify_makes_the_hashes_that_are_missing_and_names_what_was_never_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "disks"
    folder.mkdir()
    large, strange = folder / "d.0.raw", folder / "e.0.raw"
    large.write_bytes(bytes(5 * 1024 * 1024))
    strange.touch()
    seal([str(large)])
    found = verify(folder, map(str, (large, strange, folder / "gone.0.raw")))
    assert (found.unsealed, found.gone) == ((str(strange),), (str(folder / "gone.0.raw"),))
    assert find_seals(folder)[large.name].sha256 is not None
    assert verify(folder, [str(large)]).intact == (str(large),)


def test_a_file_that_is_changed_before_its_hash_is_made_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "disks"
    folder.mkdir()
    large = folder / "d.0.raw"
    large.write_bytes(bytes(5 * 1024 * 1024))
    (tmp_path / "seals.json").write_text(
        json.dumps({"d.0.raw": {"size": 5 * 1024 * 1024, "mtime_ns": 1, "sha256": None}})
    )
    complete(folder)
    assert find_seals(folder)["d.0.raw"].sha256 is None
    assert verify(folder, [str(large)]).changed == (str(large),)


def test_to_accept_is_a_plan_that_names_who_reads_it_and_seals_what_was_changed_alone(vm: Machine) -> None:
    image = _image(vm)
    before = find_seals(image.parent)
    assert vm.snapshots.accept_changes.plan().steps == ()
    vm.clone("link", kind="linked", snapshot="one")
    _write(image)
    image.chmod(0o644)
    plan = vm.snapshots.accept_changes.plan()
    assert [step.paths for step in plan.steps] == [(str(image),)]  # type: ignore[union-attr]
    assert "link" in plan.notes[0]
    assert "web@three" in plan.notes[0]
    vm.lab.carry_out(plan)
    after = find_seals(image.parent)
    assert {name for name in before if before[name] != after[name]} == {image.name}
    assert not image.stat().st_mode & 0o222
    vm.lab.machines["link"].start().kill()


def test_what_can_still_be_read_is_saved_only_when_that_is_said(vm: Machine) -> None:
    image, disk = _image(vm), vm.lab.disks["web.vda"]
    _write(image)
    refusal = disk.convert.plan("saved").refusal
    assert refusal is not None
    assert 'lab.disks["web.vda"].convert("…", as_is=True)' in refusal.hint
    plan = disk.convert.plan("saved", as_is=True)
    assert f"not what was frozen: {image.name}" in plan.notes[-1]
    vm.lab.carry_out(plan)
    assert hash_content(str(vm.lab.disks["saved"].path), "qcow2") == hash_content(str(disk.path), "qcow2")


def test_a_changed_image_of_another_branch_is_brought_back_whatever_its_mode(vm: Machine, tmp_path: Path) -> None:
    image, good = _image(vm, "three"), tmp_path / "good.qcow2"
    shutil.copy2(image, good)
    held = hash_content(str(image), "qcow2")
    vm.snapshots.restore("one")  # the image is not below the machine now
    _write(image)
    image.chmod(0o644)
    assert vm.snapshots.restore.plan("three").refusal is not None
    vm.relink("vda", good)
    assert hash_content(str(image), "qcow2") == held
    vm.snapshots.restore("three")


def test_between_plan_and_act_an_image_is_looked_at_again(vm: Machine) -> None:
    lab, image = vm.lab, _image(vm)
    plans = [
        vm.snapshots.take.plan("four"),
        vm.snapshots.restore.plan("one"),
        vm.clone.plan("copy"),
        vm.clone.plan("link", kind="linked", snapshot="one"),
        vm.export.plan(lab.home / "web.labkit"),
        vm.snapshots.delete.plan("two"),
    ]
    _write(image)
    files = {path: path.read_bytes() for path in (lab.home / "disks").iterdir()}
    for plan in plans:
        with pytest.raises(WrongState, match=f"{image.name} was changed by another program"):
            lab.carry_out(plan)
    assert {path: path.read_bytes() for path in (lab.home / "disks").iterdir()} == files
    assert list(lab.machines) == ["web"]
    assert list(vm.snapshots) == ["one", "two", "three"]


@pytest.mark.parametrize("which", [1, 2], ids=["the layer", "what it goes into"])
def test_what_is_changed_before_a_merge_is_not_merged_and_its_seal_still_tells(tmp_path: Path, which: int) -> None:
    world = World(tmp_path / "lab")
    world.make_disk("d", Format.QCOW2, 1024 * 1024)
    world.carry_out(plan_attach(world.state, "d", "web"))
    for name in ("one", "two", "three"):
        world.carry_out(plan_take(world.state, SURVEY, "web", name, ""))
    plan = plan_delete(world.state, SURVEY, "web", "two")
    image = Path(world.state.snapshots["web"]["three" if which == 2 else "two"].disks[0].path)
    held, files = find_seals(image.parent), sorted(path.name for path in image.parent.iterdir())
    _write(image)
    content = image.read_bytes()
    world.carry_out(plan)
    assert sorted(path.name for path in image.parent.iterdir()) == files
    assert image.read_bytes() == content
    assert find_seals(image.parent) == held
    assert find_changed(image.parent, [str(image)]) == [str(image)]


def test_below_a_damaged_image_nothing_is_deleted(vm: Machine) -> None:
    image, base = _image(vm, "two"), _image(vm)
    start = image.read_bytes()[:512]
    image.chmod(0o644)
    with image.open("r+b") as file:
        file.write(bytes(512))
    refusal = vm.snapshots.delete.plan("two").refusal
    assert refusal is not None
    assert f"{image.name} of web.vda is there but cannot be read" in refusal.why
    vm.snapshots.delete("one", merge="never")
    assert base.exists()
    with image.open("r+b") as file:
        file.write(start)
    vm.snapshots.restore("three")


REPLACED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "link": (lambda path, away: path.symlink_to(away), "a link has been put in its place"),
    "folder": (lambda path, _away: path.mkdir(), "a folder has been put in its place"),
    "pipe": (lambda path, _away: os.mkfifo(path), "a pipe, a device or a socket has been put in its place"),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_what_stands_in_the_place_of_an_image_is_told_as_what_it_is(vm: Machine, tmp_path: Path, kind: str) -> None:
    """Nothing was written over: the file may well lie elsewhere."""
    image, away = _image(vm, "two"), tmp_path / "away"
    put, words = REPLACED[kind]
    shutil.move(image, away)
    put(image, away)
    try:
        refusal = vm.snapshots.restore.plan("two").refusal
        (loss,) = find_losses(read_lineage(vm.lab.state))
        changed = [Path(path).name for path in vm.lab.verify().changed]
    finally:
        image.rmdir() if kind == "folder" else image.unlink()
        shutil.move(away, image)
    assert refusal is not None
    assert words in refusal.why
    assert words in loss.what
    assert changed == [image.name]
    vm.lab.disks.create("data", capacity="1 MiB")
    data = vm.lab.home / "disks" / "data.0.qcow2"
    shutil.move(data, away)
    put(data, away)
    try:
        with pytest.raises(LabError, match=words):
            vm.lab.disks["data"].map()
    finally:
        data.rmdir() if kind == "folder" else data.unlink()
        shutil.move(away, data)
        vm.lab.disks["data"].delete()


@pytest.mark.parametrize("text", [None, "{}"])
def test_lost_seals_are_told_by_everyone_who_looks_and_can_be_made_anew(vm: Machine, text: str | None) -> None:
    lab, seals = vm.lab, vm.lab.home / "seals.json"
    seals.unlink()
    if text is not None:
        seals.write_text(text)
    words = "of its 3 frozen images nobody knows what they were"
    call = 'lab.machines["web"].snapshots.accept_changes()'
    assert call in str(lab.verify())
    check = check_seals(lab.home.parent, lab.uri)
    assert (check.status, words in check.what, call in check.cause) == (Status.NOTE, True, True)
    shown = LabPanel(lab).static()
    assert words in shown
    assert call in html.unescape(shown)
    vm.snapshots.accept_changes()
    assert check_seals(lab.home.parent, lab.uri).status is Status.OK
    assert lab.verify().found.unsealed == ()
    _write(_image(vm))
    assert [path.name for path in lab.verify().changed] == [_image(vm).name]


def test_where_nothing_is_frozen_there_is_nothing_to_verify(lab: Lab) -> None:
    assert "Nothing in this lab is frozen" in str(lab.verify())


def test_a_disk_whose_image_is_damaged_is_not_told_as_deleted(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="1 MiB")
    with disk.path.open("r+b") as file:
        file.write(bytes(512))
    name = "data.0.qcow2"
    for look in (lambda: disk.capacity, lambda: lab.disks["data"].facts, lambda: disk.convert("other")):
        with pytest.raises(LabError, match=f"'data' cannot be read: its image {name} is there, but damaged"):
            look()
    assert "damaged" in repr(disk)
