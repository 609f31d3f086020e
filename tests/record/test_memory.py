"""Memory goes where the lab's folder goes: of snapshots, of saved machines; and never onto disks of another instant."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.engine.record_file import read_record
from labkit.machine import Machine
from labkit.storage.memory_file import exchange_header, read_header
from tests.instance import Instance
from tests.record.conftest import lose_configuration, sit_at
from tests.record.look import contents, make_emulator, virsh


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of labs of its own."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    yield tmp_path
    for name in sorted(path.parent.name for path in tmp_path.glob("*/lab.json")):
        with Lab.open(name) as left:
            left.clean()


def read_word(vm: Machine) -> str:
    """Return what the guest was told and keeps in its memory alone."""
    return vm.run("cat /run/word").stdout.strip()


def test_memory_of_snapshots_and_saved_machines_moves_and_is_copied_along(home: Path) -> None:
    with Lab.open("course") as lab:
        vm = lab.create("web").start(warm=True).wait_ready()
        vm.run("echo then > /run/word")
        vm.snapshots.take("live")
        vm.run("echo now > /run/word")
        vm.save()
        assert (lab.home / "saved" / "web.save").exists()
    (home / "course").rename(home / "moved")
    with Lab.open("moved") as lab:
        vm = lab.machines["web"]
        assert vm.state == "saved"
        vm.start()
        assert read_word(vm) == "now"
        assert not (lab.home / "saved").exists()  # it was saved, and is no more
        vm.snapshots.restore("live")
        assert read_word(vm) == "then"
        vm.kill()
        images = contents(lab.home)
    shutil.copytree(home / "moved", home / "copy")
    assert main(["lab", "copy", "copy"]) == 0
    with Lab.open("copy") as copy, Lab.open("moved") as lab:
        for each in (copy, lab):  # the same instant goes on twice, beside each other
            each.machines["web"].snapshots.restore("live")
            assert read_word(each.machines["web"]) == "then"
            each.machines["web"].kill()
        assert {name: images[name] for name in images if "memory" in name or ".mem" in name}.items() <= contents(
            lab.home
        ).items()


def test_a_saved_machine_comes_back_saved_unless_its_disk_has_changed_since(other_computer: Instance) -> None:
    sit_at(
        other_computer,
        """
with Lab.open() as lab:
    vm = lab.create("web").start().wait_ready()
    vm.run("echo kept > /run/word; sync")
    vm.save()
""",
    )
    lose_configuration(other_computer)
    told, word = sit_at(
        other_computer,
        """
with Lab.open() as lab:
    vm = lab.machines["web"]
    assert vm.state == "saved"
    vm.start()
    print(vm.run("cat /run/word").stdout.strip())
    vm.save()
    with open(lab.state.machines["web"].spec.disks[0].path, "ab") as image:
        image.write(b"x")
""",
    )
    assert "saved" in told
    assert word == "kept"
    lose_configuration(other_computer)
    told, state, kept = sit_at(
        other_computer,
        """
with Lab.open() as lab:
    print(lab.machines["web"].state)
    print(len(list((lab.home / "saved").glob("*.kept"))))
""",
    )
    assert "does not fit" in told
    assert (state, kept) == ("off", "1")


def test_the_emulator_in_a_saved_memory_is_never_run(other_computer: Instance, tmp_path: Path) -> None:
    (file,) = sit_at(
        other_computer,
        """
with Lab.open() as lab:
    lab.create("web", image="sector", memory="16 MiB").start().save()
    print(lab.home / "saved" / "web.save")
""",
    )
    header = read_header(Path(file))
    own = header.xml.split("<emulator>")[1].split("<")[0]
    xml = header.xml.replace(f">{own}<", f">{make_emulator(tmp_path)}<")
    exchange_header(Path(file), replace(header, xml=xml))
    lose_configuration(other_computer)
    told, state = sit_at(
        other_computer, "with Lab.open() as lab: print(*lab.recovered); print(lab.machines['web'].state)"
    )[-2:]
    assert "does not fit" in told
    assert state == "off"
    assert not (tmp_path / "ran").exists()


def test_a_machine_saved_and_started_by_hand_is_noted_by_the_next_act(home: Path) -> None:
    with Lab.open("course") as lab:
        lab.create("web", image="sector", memory="16 MiB").start()
        virsh("managedsave", "course.web")
        lab.disks.create("data", capacity="1 MiB")
        record = read_record(home / "course")
        assert record is not None
        assert record.machines[0].saved is not None
        assert record.machines[0].saved.in_folder
        virsh("start", "course.web")
        lab.disks["data"].delete()
        record = read_record(home / "course")
        assert record is not None
        assert record.machines[0].saved is None
        assert not (lab.home / "saved").exists()
