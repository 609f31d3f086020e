"""What `tiny` promises, seen from inside and from outside a real guest."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images.bare import Guest
from tests.images.conftest import UUID, Images, tiny

Start = Callable[..., Guest]


def check(disk: Path, scratch: Path) -> str:
    """Return what e2fsck says of a guest's root disk, changing nothing; it must be clean."""
    raw = scratch / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
    checked = subprocess.run(["/sbin/e2fsck", "-n", raw], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked
    return checked.stdout


def plugged(folder: Path, letter: str, capacity: int = 32 << 20) -> list[str]:
    """Return QEMU's words for a blank disk."""
    disk = folder / f"{letter}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, str(capacity)], check=True)
    return ["-drive", f"file={disk},if=none,id=vd{letter},discard=unmap", "-device", f"virtio-blk-pci,drive=vd{letter}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the disks of the shared guest are."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def shared(images: Images, folder: Path) -> Iterator[Guest]:
    """A guest that several tests use: its root disk can grow, a second disk is blank, a port is free."""
    disk = images.disk("tiny", folder / "grown.qcow2")
    subprocess.run(["qemu-img", "resize", "-q", disk, "256M"], check=True)
    root_port = ["-device", "pcie-root-port,id=socket,slot=1"]
    with tiny(images, folder / "tiny", *plugged(folder, "b"), *root_port, disk=disk) as guest:
        yield guest


def test_boots_says_who_it_is_and_shuts_down_cleanly_by_the_agent(
    start_tiny: Start, images: Images, tmp_path: Path
) -> None:
    disk = images.disk("tiny", tmp_path / "web.qcow2")
    guest = start_tiny(disk=disk, words="labkit.name=web")
    agent = guest.agent
    assert agent.call("guest-get-osinfo")["id"] == "tiny"
    assert agent.call("guest-get-host-name") == {"host-name": "web"}
    assert agent.run("hostname; cat /etc/machine-id") == f"web\n{UUID.replace('-', '')}\n"
    guest.console.expect(rb"This is web, a tiny Linux[^@]*root@web:")
    guest.console.send(b"echo $((6 * 7))\n")
    guest.console.expect(rb"\b42\r\n")
    handle = agent.call("guest-file-open", path="/root/note", mode="w")
    agent.call("guest-file-write", handle=handle, **{"buf-b64": "bm90ZWQ="})
    agent.call("guest-file-close", handle=handle)
    agent.send("guest-shutdown")
    guest.wait_end()
    assert "recovering journal" not in check(disk, tmp_path)
    assert start_tiny(disk=disk).agent.run("cat /root/note") == "noted"


def test_shuts_down_cleanly_by_the_power_button(start_tiny: Start, images: Images, tmp_path: Path) -> None:
    disk = images.disk("tiny", tmp_path / "button.qcow2")
    guest = start_tiny(*plugged(tmp_path, "b"), disk=disk)
    guest.agent.run("labkit-mount vdb; echo kept >/mnt/vdb/file; echo kept >/root/file")
    guest.qmp.call("system_powerdown")
    guest.wait_end()
    assert "recovering journal" not in check(disk, tmp_path)
    assert "recovering journal" not in check(tmp_path / "b.qcow2", tmp_path)


def test_a_copied_disk_becomes_a_machine_of_its_own(start_tiny: Start, images: Images, tmp_path: Path) -> None:
    disk = images.disk("tiny", tmp_path / "copied.qcow2")
    ask = "cat /etc/machine-id; hostname; until [ -s /etc/labkit/host-key ]; do usleep 9999; done; "

    def identity(uuid: str, words: str = "") -> list[str]:
        guest = start_tiny(disk=disk, uuid=uuid, words=words)
        id_ = uuid.replace("-", "")
        wait = "" if "keep" in words else f"until grep -q {id_} /etc/labkit/host-key; do usleep 9999; done; "
        facts = guest.agent.run(ask + wait + "cat /etc/labkit/host-key").splitlines()
        guest.agent.send("guest-shutdown")
        guest.wait_end()
        return facts

    other = "99998888-7777-6666-5555-444433332222"
    first = identity(UUID)
    assert first[:2] == [UUID.replace("-", ""), "guest-11112222"]
    assert identity(other, "labkit.identity=keep labkit.name=twin") == first
    renewed = identity(other)
    assert renewed[:2] == [other.replace("-", ""), "guest-99998888"]
    assert renewed[2] != first[2]


def test_a_system_that_is_renewed_says_so_on_its_console_if_it_is_asked_to(start_tiny: Start) -> None:
    guest = start_tiny(words="labkit.name=memory")
    guest.console.expect(rb"root@memory:/root# ")
    guest.agent.run(f"labkit-renew web {UUID} greet </etc/profile")
    guest.console.expect(rb"This is web, a tiny Linux, resumed[^@]*root@web:/root# ")
    guest.console.send(b"hostname\r")
    guest.console.expect(rb"hostname[^a-z]*web\s+root@web:/root# ")


def test_its_console_is_a_terminal_with_job_control(start_tiny: Start) -> None:
    guest = start_tiny(words="labkit.name=web")
    console, run = guest.console, guest.agent.run
    prompt = rb"root@web:/root# "

    def type_line(line: bytes, answer: bytes = b"") -> None:
        """Type a line; expect it on the screen, its answer and the prompt."""
        console.send(line + b"\r")
        console.expect(re.escape(line) + rb"\r\n" + answer + prompt)

    def press(key: bytes, answer: bytes, line: bytes = b"sleep 1000") -> None:
        """Type a line that begins or goes on with a long sleep; when it sleeps, press a key."""
        console.send(line + b"\r")
        run("until grep -qs 'State:.S' /proc/$(pidof sleep)/status; do usleep 9999; done")
        console.send(key)
        console.expect(answer + prompt)

    console.expect(prompt)
    type_line(b"mine=yes")
    console.send(b"half a line\x03")  # Ctrl+C forgets what was typed, and leaves the shell
    console.expect(rb"half a line\^C\r\n" + prompt)
    press(b"\x03", rb"\^C\r\n")  # Ctrl+C ends what runs
    type_line(b"echo $? $mine", rb"130 yes\r\n")
    press(b"\x1c", rb"\^\\Quit\r\n")  # so does Ctrl+\
    press(b"\x1a", rb"Stopped +sleep 1000\r\n")  # Ctrl+Z stops it
    press(b"\x1a", rb"Stopped +sleep 1000\r\n", line=b"fg")
    type_line(b"kill -9 %1; wait %1; echo $? $mine", rb"137 yes\r\n[^#]*Killed +sleep 1000\r\n")
    console.send(b"exit\r")  # another shell comes
    console.expect(rb"This is web, a tiny Linux[^@]*" + prompt)
    type_line(b"echo $mine.", rb"\.\r\n")


def test_disks_are_formatted_mounted_written_and_trimmed(shared: Guest, folder: Path) -> None:
    run = shared.agent.run
    assert run("labkit-mount vdb") == "formatted /dev/vdb as ext4\nmounted /dev/vdb on /mnt/vdb\n"
    assert run("umount /mnt/vdb; labkit-mount vdb") == "mounted /dev/vdb on /mnt/vdb\n"
    run("dd if=/dev/urandom of=/mnt/vdb/file bs=1M count=16 oflag=direct conv=fsync; sync")
    image = folder / "b.qcow2"
    full = image.stat().st_blocks * 512
    run("rm /mnt/vdb/file; sync; fstrim /mnt/vdb")
    assert image.stat().st_blocks * 512 < full - (15 << 20)
    plugged(folder, "c")
    file = {"driver": "file", "filename": str(folder / "c.qcow2")}
    shared.qmp.call("blockdev-add", **{"node-name": "c", "driver": "qcow2", "file": file})
    shared.qmp.call("device_add", driver="virtio-blk-pci", drive="c", bus="socket", id="vdc")
    run("until [ -b /dev/vdc ]; do usleep 9999; done; labkit-mount vdc /mnt/third")
    assert shared.agent.call("guest-fsfreeze-freeze") == 3
    assert shared.agent.call("guest-fsfreeze-thaw") == 3


def test_the_root_disk_grows(shared: Guest) -> None:
    run = shared.agent.run
    run("resize2fs /dev/vda")
    assert int(run("df -m / | tail -1").split()[1]) > 230


@pytest.mark.parametrize("device", [["-device", "pvpanic"], ["-device", "pvpanic-pci"], []], ids=["ISA", "PCI", "none"])
def test_a_panic_on_request_is_told_if_there_is_a_panic_device(start_tiny: Start, device: list[str]) -> None:
    guest = start_tiny(*device)
    agent = guest.agent
    agent.send("guest-exec", path="/bin/sh", arg=["-c", "echo c >/proc/sysrq-trigger"])
    guest.console.expect(rb"Kernel panic - not syncing")
    if device:
        guest.qmp.wait_event("GUEST_PANICKED")
    else:
        guest.console.expect(rb"end Kernel panic")
        assert guest.qmp.call("query-status")["status"] == "running"
        assert guest.process.poll() is None


def test_counter_and_heartbeat_tell_of_a_pause(shared: Guest) -> None:
    run = shared.agent.run
    run("labkit-counter start; labkit-heartbeat start 50; until [ $(labkit-counter) -gt 3 ]; do usleep 9999; done")
    shared.qmp.call("stop")
    shared.qmp.call("cont")
    before = int(run("labkit-counter"))
    run(f"until [ $(labkit-counter) -gt {before} ]; do usleep 9999; done")
    gaps = re.fullmatch(r"own (\d+\.\d\d)\nhardware (\d+)\n", run("labkit-heartbeat"))
    assert gaps is not None
    assert float(gaps[1]) >= 0.05


def test_the_usual_tools_are_there(shared: Guest) -> None:
    shared.agent.run(
        "for tool in dd sync md5sum sha256sum free ps taskset fstrim fsfreeze mkfs.ext4 e2fsck resize2fs awk; do "
        "type $tool || exit 1; done"
    )
