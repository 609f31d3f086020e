"""Copies of a lab's folder as people make them: with second names, without `lab.json`; the original stays as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.machine import Machine
from tests.beside.hands import contents as contents_of
from tests.beside.hands import make_machine
from tests.record.look import contents


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with snapshots, the last of which keeps memory."""
    vm = make_machine(lab, "web", "left", "right")
    vm.start().snapshots.take("running")
    return vm.kill()


@pytest.fixture
def copy(vm: Machine) -> Iterator[Path]:
    """Where a copy of its lab is made; what it became is cleaned."""
    home = vm.lab.home.with_name(f"{vm.lab.name}-copy")
    yield home
    if (home / "lab.json").exists():
        assert main(["clean", "--lab", home.name]) == 0


def test_a_copy_of_second_names_gets_files_of_its_own(vm: Machine, copy: Path) -> None:
    before, held = contents(vm.lab.home), contents_of(vm)
    subprocess.run(["cp", "-al", vm.lab.home, copy], check=True)
    assert main(["lab", "copy", copy.name]) == 0
    shared = {
        path.name for name in ("disks", "memory") for path in (copy / name).iterdir() if path.lstat().st_nlink > 1
    }
    assert not shared
    with Lab.open(copy.name) as lab:
        twin = lab.machines["web"]
        assert contents_of(twin) == held
        twin.snapshots.restore("running")
        twin.kill()
        twin.snapshots.delete("right", merge="always")
        twin.snapshots.delete("running")
        lab.disks["web.vda"].resize("2 MiB")
    assert contents(vm.lab.home) == before
    vm.snapshots.restore("running")
    assert vm.kill().state == "off"


def test_a_copy_that_was_put_together_again_goes_on_from_its_memory(vm: Machine, copy: Path) -> None:
    before = contents(vm.lab.home)
    subprocess.run(["cp", "-a", vm.lab.home, copy], check=True)
    (copy / "lab.json").unlink()
    assert main(["lab", "restore", copy.name]) == 0
    assert main(["lab", "copy", copy.name]) == 0
    with Lab.open(copy.name) as lab:
        lab.machines["web"].snapshots.restore("running")
        assert lab.machines["web"].state == "running"
        lab.machines["web"].kill()
    assert contents(vm.lab.home) == before
