"""Folders and images that this user may not use, and links in their places: an error each, whose hint works."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.doctor.labs import check_labs
from labkit.engine.folders import labs_folder
from labkit.engine.workspace import list_labs
from labkit.errors import HostTrouble, LabError, Refused, WrongState
from labkit.hypervisor.inquiry import ask_hypervisor
from labkit.machine import Machine
from tests.beside.hands import active_path, make_machine


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine that is off, with one snapshot."""
    return make_machine(lab, "web", "left")


@contextmanager
def _locked(path: Path, mode: int = 0) -> Iterator[None]:
    before = path.stat().st_mode & 0o777
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def _type(command: str) -> None:
    """Do what a hint says to type."""
    subprocess.run(shlex.split(command.removesuffix(".")), check=True)


def test_a_lab_whose_folder_is_locked_is_one_error(vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    lab = vm.lab
    calls: tuple[Callable[[], object], ...] = (
        lambda: list(lab.machines),
        vm.start,
        vm.kill,
        lambda: vm.snapshots.take("two"),
        lab.clean,
        lab.neighbour,
        lambda: Lab.open(lab.name),
    )
    with _locked(lab.home):
        for call in calls:
            with pytest.raises(HostTrouble):
                call()
        for command in ("orphans --lab", "verify --lab", "clean --lab", "lab restore", "lab forget", "lab move"):
            assert main([*command.split(), lab.name]) == 1, command
    assert "Traceback" not in capsys.readouterr().err
    assert vm.start().kill().state == "off"


@pytest.mark.parametrize("part", ["", "disks"])
def test_the_doctor_tells_of_a_locked_lab_with_the_repair(vm: Machine, part: str) -> None:
    lab = vm.lab
    with _locked(lab.home / part):
        check = check_labs(labs_folder(), ask_hypervisor("qemu:///session"))
        assert lab.name in check.what
        _type(check.repair)
        assert list(lab.machines) == ["web"]
    assert lab.name not in check_labs(labs_folder(), ask_hypervisor("qemu:///session")).what


def test_an_image_that_may_not_be_read_is_no_damaged_one(vm: Machine) -> None:
    hint = ""
    with _locked(active_path(vm)):
        for act in (vm.start, lambda: vm.snapshots.take("two"), lambda: vm.detach("web.vda")):
            with pytest.raises(Refused, match="this user has no right to read it") as refusal:
                act()
            hint = refusal.value.hint
        _type(hint.partition(": ")[2])
        vm.start().kill()


@pytest.mark.parametrize("below", ["nbd:127.0.0.1:1", "json:{}", "nbd+unix:///?socket=/nowhere"])
def test_an_image_that_was_led_to_a_server_is_told_as_that(vm: Machine, below: str) -> None:
    image = active_path(vm)
    whole = image.read_bytes()
    subprocess.run(["qemu-img", "rebase", "-u", "-F", "raw", "-b", below, str(image)], check=True)
    for act in (vm.start, lambda: vm.snapshots.take("two"), lambda: vm.detach("web.vda")):
        with pytest.raises(Refused, match="stand on something that is no file"):
            act()
    image.write_bytes(whole)
    vm.start().kill()


def test_lists_name_the_labs_that_may_not_be_read(vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    lab = vm.lab
    with _locked(lab.home):
        assert lab.name in list_labs()
        assert main(["list"]) == 1
        assert lab.name in capsys.readouterr().err
        assert main(["lab", "list"]) == 0
        assert f"{lab.name}\t{lab.home}\tthis user has no right to look into it" in capsys.readouterr().out
        assert main(["clean", "--all"]) == 1
    assert list(lab.machines) == ["web"]


def test_an_image_that_may_not_be_written_is_told_before_the_start(vm: Machine) -> None:
    active_path(vm).chmod(0o444)
    with pytest.raises(Refused, match="read-only") as refusal:
        vm.start()
    _type(refusal.value.hint.partition(": ")[2])
    vm.start().kill()


@pytest.mark.parametrize("odd", ["a link", "written over", "locked"])
def test_a_disk_that_cannot_be_read_is_attached_and_detached_with_a_sentence(
    lab: Lab, tmp_path: Path, odd: str
) -> None:
    vm = make_machine(lab, "web")
    data = lab.disks.create("data", capacity="1 MiB")
    vm.attach(data)
    free = lab.disks.create("free", capacity="1 MiB")
    for disk in (data, free):
        path = Path(disk.facts.active.path)
        if odd == "a link":
            path.rename(tmp_path / path.name)
            path.symlink_to(tmp_path / path.name)
        elif odd == "written over":
            path.write_bytes(b"mine" * 1000)
        else:
            path.chmod(0)
    with pytest.raises(Refused, match="is there but cannot be read"):
        vm.detach("data")
    with pytest.raises(Refused, match="is there but cannot be read"):
        vm.attach("free")
    with pytest.raises(WrongState):
        free.delete()
    for name in ("data", "free"):
        Path(lab.home / "disks" / f"{name}.0.qcow2").unlink()


def test_a_link_in_the_place_of_an_image_is_told_with_what_to_type(vm: Machine, tmp_path: Path) -> None:
    image, away = active_path(vm), tmp_path / "a disk of mine"
    image.rename(away)
    image.symlink_to(away)
    with pytest.raises(Refused, match="does not lie in the lab's folder"):
        vm.lab.clean()
    with pytest.raises(Refused, match="does not lie in the lab's folder") as refusal:
        vm.delete()
    back, _, remove = refusal.value.hint.partition(". Or remove ")
    _type(back.partition("place: ")[2])
    vm.start().kill()
    image.rename(away)
    image.symlink_to(away)
    _type(remove.partition("gone: ")[2])
    vm.delete()
    assert away.exists()


def test_changes_are_accepted_where_virsh_has_merged_all_into_a_frozen_base(vm: Machine) -> None:
    """The machine goes on in an image that a snapshot keeps: what its refusals offer must lead on."""
    domain, base = vm.facts.spec.domain_name, Path(vm.snapshots["left"].disks[0].path)
    vm.start()
    base.chmod(0o644)
    subprocess.run(["virsh", "-q", "blockcommit", domain, "vda", "--active", "--pivot", "--wait"], check=True)
    with pytest.raises(Refused, match="web is running and writes to the frozen image"):
        vm.snapshots.accept_changes()
    vm.kill()
    with pytest.raises(Refused, match="was changed by another program") as refusal:
        vm.start()
    assert "accept_changes()" in refusal.value.hint
    vm.snapshots.accept_changes()
    with pytest.raises(LabError, match="is the base of web@left") as further:
        vm.start()
    assert further.value.hint.startswith("Restore this machine to a snapshot")
    vm.snapshots.restore("left")
    vm.start().kill()
