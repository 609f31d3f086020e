"""A lab's folder exchanged while the lab is open, or its guests run: nothing is taken for what it is not.

Outside of an open lab see `test_place.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Refused, WrongState
from labkit.machine import Machine
from tests.beside.hands import active_path, contents, files_of, make_machine, virsh, write
from tests.beside.workers import Worker


@pytest.fixture
def backup(lab: Lab, tmp_path: Path) -> Path:
    """An older state of the lab: `web` has the snapshot *left*, and *right* was taken since."""
    make_machine(lab, "other")
    vm = make_machine(lab, "web", "left")
    shutil.copytree(lab.home, tmp_path / "backup")
    write(active_path(vm), 4096 * 9, "since the backup")
    vm.snapshots.take("right")
    return tmp_path / "backup"


def _bring_back(home: Path, backup: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(backup, home)


FIRST_ACTS: dict[str, Callable[[Lab], object]] = {
    "restore of the newer snapshot": lambda lab: lab.machines["web"].snapshots.restore("right"),
    "an act of another machine": lambda lab: lab.machines["other"].snapshots.take("since"),
    "a switch of another machine": lambda lab: lab.machines["other"].start().kill(),
}


@pytest.mark.parametrize("first", FIRST_ACTS)
def test_an_older_folder_under_an_open_lab_is_not_taken_for_what_newer_snapshots_kept(
    lab: Lab, backup: Path, first: str
) -> None:
    vm = lab.machines["web"]
    _bring_back(lab.home, backup)
    before = {name: digest for name, digest in files_of(lab).items() if name.startswith("web.")}
    with suppress(Refused):
        FIRST_ACTS[first](lab)
    assert list(lab.home.glob("record.json.*.older")), "its own record was written over"
    with pytest.raises(Refused, match="changed"):
        vm.snapshots.restore("right")
    assert {name: digest for name, digest in files_of(lab).items() if name.startswith("web.")} == before


def test_kernels_that_act_in_turn_put_no_record_aside(lab: Lab) -> None:
    web = make_machine(lab, "web", "left")
    other = Worker(lab)
    try:
        for number in range(3):
            other.tell(f"lab.machines['web'].snapshots.take('there-{number}'); lab.machines['web'].start().kill()")
            assert other.answer().error == ""
            web.snapshots.take(f"here-{number}")
            web.snapshots.restore("left")
            other.tell(f"lab.machines['web'].snapshots.delete('here-{number}')")
            assert other.answer().error == ""
    finally:
        other.close()
    assert not list(lab.home.glob("record.json.*.older"))


def _delete(folder: Path, _older: Path) -> None:
    shutil.rmtree(folder)


def _exchange(folder: Path, older: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(older, folder)


def _move(folder: Path, _older: Path) -> None:
    folder.rename(folder.with_name("moved away"))


ACTS: dict[str, Callable[[Machine], object]] = {
    "take": lambda vm: vm.snapshots.take("live"),
    "restore": lambda vm: vm.snapshots.restore("left"),
    "save": lambda vm: vm.save(),
    "migrate": lambda vm: vm.migrate(vm.lab.neighbour()),
    "linked clone": lambda vm: vm.clone("link", kind="linked"),
}


@pytest.mark.parametrize("happens", [_delete, _exchange, _move])
def test_no_act_goes_on_with_other_files_than_those_that_a_guest_has_open(
    lab: Lab, tmp_path: Path, happens: Callable[[Path, Path], None]
) -> None:
    vm = make_machine(lab, "web", "left")
    folder = lab.home / "disks"
    shutil.copytree(folder, tmp_path / "older")
    write(active_path(vm), 4096 * 9, "since the backup")
    vm.start()
    assert not vm.facts.apart
    happens(folder, tmp_path / "older")
    folder.mkdir(exist_ok=True)
    before = files_of(lab)
    assert vm.facts.apart[0][0] == str(active_path(vm))
    for act in ACTS.values():
        with pytest.raises((Refused, WrongState), match=f"{active_path(vm).name} was deleted, moved or exchanged"):
            act(vm)
    assert files_of(lab) == before
    assert vm.state == "running"
    assert list(vm.snapshots) == ["left"]


def test_what_a_guest_has_that_runs_on_exchanged_files_is_copied_while_it_runs(lab: Lab, tmp_path: Path) -> None:
    vm = make_machine(lab, "web", "left")
    folder = lab.home / "disks"
    shutil.copytree(folder, tmp_path / "older")
    older = contents(vm)["now"]
    write(active_path(vm), 4096 * 9, "since the backup")
    newer = contents(vm)["now"]
    vm.start()
    _exchange(folder, tmp_path / "older")
    vm.clone("kept")
    assert contents(lab.machines["kept"])["now"] == newer
    vm.kill()
    assert contents(vm)["now"] == older  # as the hint says
    vm.start()
    assert not vm.facts.apart
    vm.snapshots.take("live")


@pytest.mark.parametrize("happens", [_delete, _move])
def test_files_that_are_gone_while_a_guest_runs_come_back_by_the_command_that_the_hint_names(
    lab: Lab, tmp_path: Path, happens: Callable[[Path, Path], None]
) -> None:
    vm = make_machine(lab, "web", "left")
    held = contents(vm)
    vm.start()
    happens(lab.home / "disks", tmp_path)
    (lab.home / "disks").mkdir()
    with pytest.raises(Refused) as caught:
        vm.clone("kept")
    commands = re.findall(r"(?:type|back): (.*?/disks/[^ ]*[a-z0-9])\.(?: |$)", caught.value.hint)
    vm.pause()
    subprocess.run(["bash", "-ec", commands[0]], check=True)
    vm.kill()
    assert contents(vm) == held
    vm.start()
    vm.snapshots.take("live")
    assert "live" in virsh("snapshot-list", vm.facts.spec.domain_name, "--name")
