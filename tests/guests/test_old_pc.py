"""A machine that imitates an old PC: disks on its IDE controller, found by the guest, plugged in with the power off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit import Lab
from labkit.errors import Refused
from labkit.machine import Machine
from labkit.model.machine import Chipset


@pytest.fixture(scope="module")
def old_pc() -> Iterator[Machine]:
    """A running machine with a virtio disk `quick` (vdb) and an IDE disk `old` (sda)."""
    with Lab.open("old-pc") as lab:
        machine = lab.create("pc", chipset="pc", if_exists="replace")
        for name, bus in (("quick", "virtio"), ("old", "ide")):
            machine.attach(lab.disks.create(name, capacity="8 MiB"), bus=bus)
        yield machine.start().wait_ready()
        lab.clean()


def test_guest_finds_the_disk_by_a_driver_made_for_real_hardware(old_pc: Machine) -> None:
    assert old_pc.facts.spec.chipset is Chipset.PC
    assert [disk.target for disk in old_pc.facts.spec.disks] == ["vda", "vdb", "sda"]
    found = old_pc.run(
        "until [ -b /dev/sda ]; do sleep 0.1; done; cat /sys/block/sda/device/model; ls -d /sys/block/vdb"
    )
    assert found.stdout.split() == ["QEMU", "HARDDISK", "/sys/block/vdb"]


def test_what_the_guest_writes_there_is_in_the_disk(old_pc: Machine) -> None:
    old_pc.run("until [ -b /dev/sda ]; do sleep 0.1; done; echo ide-was-here | dd of=/dev/sda conv=fsync")
    path, offset = old_pc.lab.disks["old"].locate(0)
    assert path.read_bytes()[offset:].startswith(b"ide-was-here")


def test_disk_is_neither_plugged_in_nor_pulled_out_while_the_guest_runs(old_pc: Machine) -> None:
    spare = old_pc.lab.disks.create("spare", capacity="8 MiB")
    with pytest.raises(Refused, match="with the power off"):
        old_pc.attach(spare, bus="ide")
    with pytest.raises(Refused, match="with the power off"):
        old_pc.detach("old")


def test_newer_machine_has_no_such_controller(lab: Lab) -> None:
    machine = lab.create("new")
    disk = lab.disks.create("data", capacity="8 MiB")
    with pytest.raises(Refused, match="without an IDE controller"):
        machine.attach(disk, bus="ide")
    assert disk.machine is None
