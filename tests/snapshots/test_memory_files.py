"""The memory that a snapshot keeps is looked at before a restore, an instant clone or an export relies on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.seals import break_seals, complete, find_seals, seal
from labkit.errors import Refused
from labkit.hypervisor.record_trust import are_known, find_strange_things
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.storage.memory_file import exchange_header, read_header
from tests.record.look import make_emulator


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    """A running machine with two snapshots that keep its memory."""
    with Lab.open("memory-files") as lab:
        lab.clean()
        vm = lab.create("web", image="sector", memory="32 MiB", disk_format="qcow2").start()
        vm.snapshots.take("one").take("two")
        complete(lab.home / "disks")
        yield vm
        lab.clean()


@pytest.fixture
def memory(vm: Machine, tmp_path: Path) -> Iterator[Path]:
    """The memory of the first snapshot; it is as it was again afterwards."""
    path = Path(vm.snapshots["one"].memory or "")
    seals = vm.lab.home / "seals.json"
    shutil.copy2(path, tmp_path / "good")
    held = seals.read_bytes()
    yield path
    shutil.copy2(tmp_path / "good", path)
    seals.write_bytes(held)


def _cut(file: Path, _other: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _zero_header(file: Path, _other: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(92))


def _change(file: Path, _other: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(-4096, os.SEEK_END)
        opened.write(b"changed")


def _exchange(file: Path, other: Path) -> None:
    file.unlink()
    shutil.copyfile(other, file)


FAULTS = {
    "cut in half": (_cut, "is cut short"),
    "header zeroed": (_zero_header, "was changed by another program"),
    "changed": (_change, "was changed by another program"),
    "replaced by another's": (_exchange, "is cut short|was changed by another program"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_before_anything_is_discarded_a_memory_file_that_is_no_use_is_refused(
    vm: Machine, memory: Path, fault: str
) -> None:
    spoil, why = FAULTS[fault]
    before = {path: path.stat().st_ino for path in (vm.lab.home / "disks").iterdir()}
    spoil(memory, Path(vm.snapshots["two"].memory or ""))
    with pytest.raises(Refused, match=f"The memory file {memory.name} of one ({why})") as refused:
        vm.snapshots.restore("one")
    assert "restore('one', memory=False)" in refused.value.hint
    with pytest.raises(Refused, match=why):
        vm.clone("now", kind="linked", snapshot="one", instant=True)
    assert vm.snapshots.restore.plan("one", memory=False).refusal is None
    assert vm.snapshots.restore.plan("two").refusal is None
    assert vm.state is MachineState.RUNNING
    assert {path: path.stat().st_ino for path in (vm.lab.home / "disks").iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(_zero_header, "is damaged: it does not begin as one"), (_exchange, "belongs to other disk images")],
)
def test_a_file_that_was_never_sealed_is_judged_by_how_it_begins(
    vm: Machine, memory: Path, spoil: Callable[[Path, Path], None], why: str
) -> None:
    seals = vm.lab.home / "seals.json"
    held = seals.read_text()
    spoil(memory, Path(vm.snapshots["two"].memory or ""))
    seals.write_text("{}")
    refusal = vm.snapshots.restore.plan("one").refusal
    seals.write_text(held)
    assert refusal is not None
    assert why in refusal.why


STRANGE = {
    "a file of the user": "<parallel type='file'><source path='/etc/passwd'/><target port='0'/></parallel>",
    "a log outside": "<serial type='pty'><log file='/etc/passwd'/><target port='1'/></serial>",
    "a device of the host": "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>",
    "arguments of the emulator": (
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-version'/></q:commandline>"
    ),
}


def _write_into_definition(memory: Path, text: str) -> None:
    """Let the definition before a guest's memory say more; what QEMU wrote stays where it is."""
    header = read_header(memory)
    at = "</domain>" if "commandline" in text else "</devices>"
    break_seals([str(memory)])
    exchange_header(memory, replace(header, xml=header.xml.replace(at, f"{text}{at}")))
    seal([str(memory)])


@pytest.mark.parametrize("kind", STRANGE)
def test_a_definition_in_a_memory_file_that_names_what_is_not_the_labs_is_never_given_to_the_hypervisor(
    vm: Machine, memory: Path, kind: str
) -> None:
    """A folder from somebody else brings its own seals along, so they prove nothing."""
    before = {path: path.stat().st_ino for path in (vm.lab.home / "disks").iterdir()}
    _write_into_definition(memory, STRANGE[kind])
    with pytest.raises(Refused, match=f"{memory.name} of one names files, devices or arguments") as refused:
        vm.snapshots.restore("one")
    assert "restore('one', memory=False)" in refused.value.hint
    with pytest.raises(Refused, match="not the lab's"):
        vm.clone("now", kind="linked", snapshot="one", instant=True)
    assert vm.snapshots.restore.plan("one", memory=False).refusal is None
    assert vm.state is MachineState.RUNNING
    assert {path: path.stat().st_ino for path in (vm.lab.home / "disks").iterdir()} == before


def test_the_emulator_in_a_memory_file_is_never_run(vm: Machine, memory: Path, tmp_path: Path) -> None:
    """Nobody else's program: libvirt asks the one that is named what it can do, as soon as it reads the file."""
    program = make_emulator(tmp_path)
    header = read_header(memory)
    own = header.xml.split("<emulator>")[1].split("<")[0]
    break_seals([str(memory)])
    exchange_header(memory, replace(header, xml=header.xml.replace(f">{own}<", f">{program}<")))
    seal([str(memory)])
    with pytest.raises(Refused, match="not the lab's"):
        vm.snapshots.restore("one")
    with pytest.raises(Refused, match="not the lab's"):
        vm.clone("now", kind="linked", snapshot="one", instant=True)
    assert not (tmp_path / "ran").exists()


def test_what_the_hypervisors_own_definition_names_too_is_no_strangers() -> None:
    """Somebody has set it by hand, here; what is told by its kind alone never counts as known."""
    logged, other, device = ("<log file='/tmp/x'/>", "<log file='/tmp/y'/>", "<hostdev mode='subsystem'/>")
    things = find_strange_things(f"<domain>{logged}</domain>", "/labs/web")
    assert things == {"/tmp/x"}
    assert are_known(things, f"<domainsnapshot><domain>{logged}{other}</domain></domainsnapshot>", "/labs/web")
    assert not are_known(things, f"<domainsnapshot><domain>{other}</domain></domainsnapshot>", "/labs/web")
    assert not are_known(things, "<domainsnapshot", "/labs/web")
    assert not are_known(frozenset({"hostdev"}), f"<domain>{device}</domain>", "/labs/web")


def test_a_file_whose_stream_is_gone_is_damaged(vm: Machine, memory: Path) -> None:
    seals = vm.lab.home / "seals.json"
    held = seals.read_text()
    os.truncate(memory, read_header(memory).length)
    seals.write_text("{}")
    refusal = vm.snapshots.restore.plan("one").refusal
    seals.write_text(held)
    assert refusal is not None
    assert "is damaged" in refusal.why


def test_between_plan_and_act_the_memory_is_looked_at_again(vm: Machine, memory: Path) -> None:
    plan = vm.snapshots.restore.plan("one")
    before = vm.facts.spec.disks
    _change(memory, memory)
    with pytest.raises(Exception, match=f"{memory.name} was changed by another program"):
        vm.lab.carry_out(plan)
    assert (vm.state, vm.facts.spec.disks) == (MachineState.RUNNING, before)


def test_a_memory_file_that_was_copied_heals_and_the_guest_goes_on(vm: Machine, memory: Path) -> None:
    assert find_seals(vm.lab.home / "disks")[memory.name].sha256
    os.utime(memory, ns=(1, 1))
    vm.snapshots.restore("one")
    assert vm.state is MachineState.RUNNING
    assert find_seals(vm.lab.home / "disks")[memory.name].mtime_ns == 1


def test_with_its_snapshot_the_seal_of_a_memory_file_goes(vm: Machine) -> None:
    vm.snapshots.take("three")
    memory = Path(vm.snapshots["three"].memory or "")
    assert memory.name in find_seals(vm.lab.home / "disks")
    vm.snapshots.delete("three")
    assert memory.name not in find_seals(vm.lab.home / "disks")


def test_an_archive_takes_no_memory_along_that_is_no_use(vm: Machine, memory: Path, tmp_path: Path) -> None:
    vm.kill()
    try:
        assert vm.export.plan(tmp_path / "web.labkit").refusal is None
        _write_into_definition(memory, STRANGE["a file of the user"])
        strange = vm.export.plan(tmp_path / "web.labkit").refusal
        _change(memory, memory)
        refusal = vm.export.plan(tmp_path / "web.labkit").refusal
    finally:
        vm.start()
    assert strange is not None
    assert "not the lab's" in strange.why
    assert refusal is not None
    assert f"{memory.name} of one was changed" in refusal.why
