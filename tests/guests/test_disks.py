"""Disks on real guests: attached, written, found on the host, grown, throttled, detached."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.journal import Record
from labkit.errors import BadInput, NotFound, Refused, WrongState
from labkit.hypervisor.domain_xml.building import ROOT_PORTS
from labkit.hypervisor.monitor import ask
from labkit.limits import Limit
from labkit.machine import Machine
from labkit.model.disk import disk_name
from labkit.storage.image_locks import is_held
from labkit.units import KIB, MIB

FORMATS = ("raw", "qcow2", "vdi", "vmdk", "vhd")
MARK = "the-guest-was-here"


@pytest.fixture
def data(shared_guest: Machine) -> str:
    """A fresh 64 MiB disk attached to the module's guest; its name."""
    lab = shared_guest._lab
    for name in list(lab.disks):
        if name == "data":
            _release(shared_guest, name)
    lab.disks.create("data", capacity="64 MiB")
    shared_guest.attach("data")
    _wait_for_device(shared_guest, lab.disks["data"].target)
    return "data"


def _release(guest: Machine, name: str) -> None:
    disk = guest._lab.disks[name]
    if disk.machine:
        guest.run(f"umount /dev/{disk.target}")
        guest.detach(name)
    disk.delete()


def _wait_for_device(guest: Machine, target: str | None) -> None:
    assert guest.run(f"until [ -b /dev/{target} ]; do sleep 0.05; done", timeout=60)


def _write_mark(guest: Machine, target: str | None, offset: int) -> None:
    command = f"printf %s {MARK} | dd of=/dev/{target} bs=1 seek={offset} conv=notrunc,fsync 2>/dev/null"
    assert guest.run(command)


def test_a_disk_attached_to_a_running_guest_is_its_next_device(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data]
    assert (disk.machine, disk.target) == ("web", "vdb")
    assert shared_guest.run("cat /sys/block/vdb/size").stdout.strip() == str(64 * MIB // 512)


def test_a_mark_the_guest_writes_is_in_the_host_file_where_locate_says(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data]
    _write_mark(shared_guest, disk.target, 2 * MIB)
    path, offset = disk.locate(2 * MIB)
    assert path.read_bytes()[offset : offset + len(MARK)] == MARK.encode()


def test_direct_writes_raise_the_hypervisors_counter_one_by_one(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data]
    before = disk.usage
    assert shared_guest.run("dd if=/dev/zero of=/dev/vdb bs=4k count=25 oflag=direct")
    after = disk.usage
    assert before is not None
    assert after is not None
    assert (after.writes - before.writes, after.written_bytes - before.written_bytes) == (25, 25 * 4 * KIB)


def test_a_mounted_disk_is_not_detached_until_it_is_unmounted(shared_guest: Machine, data: str) -> None:
    assert shared_guest.run("labkit-mount vdb")
    with pytest.raises(Refused, match="mounted at /mnt/vdb") as refusal:
        shared_guest.detach(data)
    assert "umount" in refusal.value.hint
    assert shared_guest.run("umount /mnt/vdb")
    shared_guest.detach(data)
    assert shared_guest._lab.disks[data].machine is None
    assert not shared_guest.run("test -b /dev/vdb")


def test_an_attached_disk_is_neither_attached_again_nor_deleted(shared_guest: Machine, data: str) -> None:
    lab = shared_guest._lab
    other = lab.create("other", image="sector", memory="32 MiB", if_exists="replace")
    with pytest.raises(Refused, match="already attached to web"):
        other.attach(data)
    with pytest.raises(Refused, match="attached to web"):
        lab.disks[data].delete()
    with pytest.raises(Refused, match="not attached to other"):
        other.detach(data)
    other.delete()


def test_a_running_guests_disk_grows_and_the_guest_sees_it(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data].resize("96 MiB")
    assert disk.capacity == 96 * MIB
    assert shared_guest.run("cat /sys/block/vdb/size").stdout.strip() == str(96 * MIB // 512)


def test_a_disk_in_use_is_not_converted_or_compacted(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data]
    for plan in (disk.convert.plan("copy", format="vdi"), disk.compact.plan()):
        assert plan.refusal is not None
        assert "in use by web" in plan.refusal.why


@pytest.mark.alone
def test_a_throttled_disk_takes_the_time_its_limit_says(shared_guest: Machine, data: str) -> None:
    shared_guest.throttle(data, iops=10)
    slow = shared_guest.run("time -p dd if=/dev/zero of=/dev/vdb bs=4k count=40 oflag=direct")
    shared_guest.throttle(data, iops=0)
    fast = shared_guest.run("time -p dd if=/dev/zero of=/dev/vdb bs=4k count=40 oflag=direct")
    assert _seconds(slow.stderr) > 2.0 > _seconds(fast.stderr)
    with pytest.raises(NotFound, match="has no disk 'nope'"):
        shared_guest.throttle("nope", iops=1)


def _seconds(report: str) -> float:
    return float(next(line for line in report.splitlines() if line.startswith("real")).split()[1])


def test_what_the_guest_deletes_comes_back_only_when_it_is_discarded(shared_guest: Machine, data: str) -> None:
    disk = shared_guest._lab.disks[data]
    assert shared_guest.run("labkit-mount vdb && dd if=/dev/urandom of=/mnt/vdb/f bs=1M count=20 && sync", timeout=120)
    full = disk.allocated
    assert shared_guest.run("rm /mnt/vdb/f && sync")
    assert disk.allocated >= full - MIB
    assert shared_guest.run("fstrim /mnt/vdb")
    assert disk.allocated < full - 15 * MIB


@pytest.mark.parametrize("format", FORMATS)
def test_the_smallest_system_boots_through_the_bios_from_a_disk_of_each_format(lab: Lab, format: str) -> None:
    message = f"booted from {format}"
    vm = lab.create("s", image="sector", memory="32 MiB", message=message)
    vm.detach("s.vda")
    lab.disks["s.vda"].convert("boot", format=format, allocation="fixed")
    vm.attach("boot")
    vm.start()
    assert vm.console.expect(message, timeout=90) == message
    assert lab.disks["boot"].format == format


def test_no_machine_takes_a_vhdx_disk_and_the_refusal_says_why(lab: Lab) -> None:
    vm = lab.create("s", image="sector", memory="32 MiB")
    lab.disks.create("x", capacity="8 MiB", format="vhdx")
    with pytest.raises(Refused, match="vhdx, which libvirt does not know") as refusal:
        vm.attach("x")
    assert "convert" in refusal.value.hint


@pytest.mark.parametrize("format", FORMATS)
def test_compact_gives_back_zeros_and_keeps_the_content(lab: Lab, format: str) -> None:
    vm = lab.create("s", image="sector", memory="32 MiB")
    disk = lab.disks.create("data", capacity="16 MiB", format=format)
    driver = disk.format.driver
    image = f"driver={driver},file.driver=file,file.filename={disk.path}"
    subprocess.run(
        ["qemu-io", "--image-opts", "-c", "write -P 7 1M 1M", "-c", "write -P 0 4M 8M", image],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    vm.attach(disk)
    before = disk.allocated
    old = disk.path
    disk.compact()
    assert disk.allocated < before - 6 * MIB
    assert not old.exists()
    assert (disk.machine, disk.target, disk_name(str(disk.path))) == ("s", "vdb", "data")
    path, offset = disk.locate(MIB)
    assert Path(path).read_bytes()[offset : offset + 16] == b"\x07" * 16


def test_a_guest_whose_disks_server_is_away_is_paused_and_goes_on_when_it_is_back(
    shared_guest: Machine,
) -> None:
    lab = shared_guest._lab
    disk = lab.disks.create("far", capacity="16 MiB")
    try:
        assert disk.serve().served
        shared_guest.attach("far")
        target = disk.target
        _wait_for_device(shared_guest, target)
        assert 'protocol="nbd"' in shared_guest.definition.replace("'", '"')
        _write_mark(shared_guest, target, MIB)
        disk.stop_serving()
        with suppress(WrongState):  # it may be paused before it has answered
            shared_guest.run(f"(sleep 3; dd if=/dev/{target} bs=512 count=1 skip=2048 iflag=direct) >/run/far 2>&1 &")
        paused = lambda: True if shared_guest.state == "paused" else None  # noqa: E731
        assert lab.session.domains.wait_for(paused, Limit(60))
        assert shared_guest.reason == "input/output error"
        disk.serve()
        shared_guest.resume()
        assert shared_guest.run(f"until grep -q {MARK} /run/far; do sleep 0.1; done", timeout=60)
        shared_guest.detach("far")
    finally:
        disk.stop_serving()
    path, offset = lab.disks["far"].locate(MIB)
    assert path.read_bytes()[offset : offset + len(MARK)] == MARK.encode()
    disk.delete()


def test_an_image_somebody_brought_becomes_a_disk_and_stays_as_it_is(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "brought.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", file, "8M"], check=True)
    image = f"driver=vmdk,file.driver=file,file.filename={file}"
    subprocess.run(["qemu-io", "--image-opts", "-c", "write -P 9 1M 64k", image], check=True, stdout=subprocess.DEVNULL)
    before = file.read_bytes()
    disk = lab.disks.import_file(file, "mine")
    path, offset = disk.locate(MIB)
    assert path.read_bytes()[offset : offset + 8] == b"\x09" * 8
    assert (disk.format, file.read_bytes()) == ("vmdk", before)
    renamed = file.rename(tmp_path / "brought.vdi")
    with pytest.raises(BadInput, match="vmdk"):
        lab.disks.import_file(renamed, "other")
    assert list(lab.disks) == ["mine"]


def test_a_machine_with_a_vdi_disk_cannot_be_saved_and_says_which_disk_is_in_the_way(lab: Lab) -> None:
    vm = lab.create("s", image="sector", memory="16 MiB")
    lab.disks.create("old", capacity="8 MiB", format="vdi")
    vm.attach("old").start()
    with pytest.raises(WrongState, match="its disk old has a layer in vdi"):
        vm.save()
    assert vm.state == "running"


def test_a_vhd_tells_beforehand_how_much_larger_it_gets(lab: Lab) -> None:
    plan = lab.disks.create.plan("data", capacity="64 MiB", format="vhd")
    lab.carry_out(plan)
    given = lab.disks["data"].capacity
    assert given > 64 * MIB
    assert f"it gets {given} bytes" in plan.notes[0]
    assert lab.disks["data"].convert.plan("other", format="vhd").notes == ()  # it is as large already
    assert "it gets" in lab.disks.create.plan("more", capacity="65 MiB", format="vhd", allocation="fixed").notes[0]


def test_to_detach_the_disk_with_the_system_says_so_and_without_it_nothing_starts(lab: Lab) -> None:
    vm = lab.create("s", image="sector", memory="32 MiB")
    vm.attach(lab.disks.create("data", capacity="1 MiB"))
    assert vm.detach.plan("data").notes == ()
    plan = vm.detach.plan("s.vda")
    assert "s starts from s.vda: without it, it cannot be started" in plan.notes[0]
    lab.carry_out(plan)
    with pytest.raises(Refused, match="s has no disk to start from: it was detached") as refused:
        vm.start()
    assert 'lab.machines["s"].attach("s.vda")' in refused.value.hint
    vm.attach("s.vda").start().kill()


def test_snapshots_that_another_tool_keeps_inside_an_image_are_not_dropped(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="8 MiB")
    assert disk.compact.plan().refusal is None
    subprocess.run(["qemu-img", "snapshot", "-c", "theirs", disk.path], check=True)
    refusal = disk.compact.plan().refusal
    assert refusal is not None
    assert "data.0.qcow2 has 1 snapshot of another tool inside" in refusal.why
    assert "qemu-img snapshot -l" in refusal.hint
    subprocess.run(["qemu-img", "snapshot", "-d", "theirs", disk.path], check=True)
    disk.compact()


@pytest.mark.parametrize("text", ["bell \a", "nul \0", "half \ud800", "none \uffff"])
def test_a_description_that_no_definition_can_hold_is_refused_in_words(lab: Lab, text: str) -> None:
    vm = lab.create("s", image="sector", memory="32 MiB")
    with pytest.raises(BadInput, match="description"):
        vm.snapshots.take("one", description=text)
    vm.snapshots.take("one", description="two lines\nand a\ttab")
    with pytest.raises(BadInput, match="description"):
        vm.snapshots.describe("one", text)
    assert vm.snapshots["one"].description == "two lines\nand a\ttab"


def test_a_disk_that_a_killed_daemon_gave_a_guest_and_did_not_record_is_free_again(guest: Machine) -> None:
    lab = guest.lab
    disk = lab.disks.create("data", capacity="1 MiB")
    plan = guest.attach.plan(disk)
    Record(lab.home / "journal", plan)
    domain = lab.session.connection.raw().lookupByUUIDString(guest.id)
    file, image = "libvirt-90-storage", "libvirt-90-format"
    ask(domain, "blockdev-add", driver="file", filename=str(disk.path), **{"node-name": file})
    ask(domain, "blockdev-add", driver="qcow2", file=file, **{"node-name": image})
    ask(domain, "device_add", driver="virtio-blk-pci", bus=f"pci.{ROOT_PORTS}", drive=image, id="virtio-disk1")
    _wait_for_device(guest, "vdb")
    with Lab.open(lab.name) as again:
        assert again.recovered == ("attach data was interrupted and taken back: all is as before.",)
    assert not guest.run("test -b /dev/vdb")
    assert not is_held(str(disk.path))
    guest.attach(disk)
    _write_mark(guest, "vdb", 0)
