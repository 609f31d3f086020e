"""A daemon is killed while a running guest's disks are copied: whatever its successor believes, the machine is free."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from lxml import etree

from labkit import Lab
from labkit.hypervisor.daemon_place import find_own_daemon
from labkit.hypervisor.inquiry import find_daemon
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.units import MIB
from tests.clones.test_guests import content
from tests.clones.test_trouble import fill
from tests.engine.kernel import WAIT, Kernel
from tests.instance import Instance

HELD = 60
"""MiB that the disk holds."""


@pytest.fixture
def web(lab: Lab) -> Machine:
    """A machine that runs, and whose second disk holds something."""
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("data", capacity="64 MiB"))
    fill(vm, 7, size=f"{HELD}M")
    return vm.start()


@contextmanager
def _slow_motion(pid: int) -> Iterator[None]:
    """Let a process run for one millisecond in twenty only, as on a busy host."""
    over = threading.Event()

    def slow_down() -> None:
        while not over.wait(0.001):
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.02)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=slow_down)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _stop_within_a_backup(vm: Machine, kernel: Kernel, daemon: psutil.Process, status: Path) -> None:
    """Let the daemon stand still when it has noted what another kernel lets it copy, and that kernel, too."""
    assert vm.process is not None
    assert kernel.process.pid is not None
    with _slow_motion(vm.process.pid):
        end = time.monotonic() + WAIT
        while not (noted := _read(status)).findall("backups") or not noted.findall("job[@async='backup']"):
            assert time.monotonic() < end, "no backup was ever noted"
        os.kill(kernel.process.pid, signal.SIGSTOP)
        daemon.suspend()
    noted = _read(status)
    assert noted.findall("backups")
    assert noted.findall("job[@async='backup']")


def _read(status: Path) -> etree._Element:
    return etree.fromstring(status.read_bytes())


def _leave_all(_status: Path) -> None:
    """The copying has ended while no daemon was there."""


def _forget_of_what(status: Path) -> None:
    """What a daemon leaves that dies after it has noted that a backup begins, and before it notes of what."""
    root = _read(status)
    (noted,) = root.findall("backups")
    root.remove(noted)
    status.write_bytes(etree.tostring(root))


def _forget_how_far(status: Path) -> None:
    """What a daemon leaves that dies after it has noted of what, and before it notes how far each disk is with it."""
    root = _read(status)
    for disk in root.iterfind("backups/domainbackup/disks/disk"):
        disk.attrib.pop("state", None)
    status.write_bytes(etree.tostring(root))


def _wait_until_copied(home: Path) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        sizes = [path.stat().st_blocks * 512 for path in (home / "disks").iterdir() if path.name.startswith("copy.")]
        if sizes and max(sizes) >= HELD * MIB:
            return
    raise AssertionError("QEMU has stopped copying")


@pytest.mark.parametrize("kernel", ["dies too", "goes on"])
@pytest.mark.parametrize("leave", [_leave_all, _forget_of_what, _forget_how_far], ids=["all", "what", "how far"])
def test_a_machine_is_free_again_whatever_its_next_daemon_can_read(
    web: Machine, instance: Instance, leave: Callable[[Path], None], kernel: str
) -> None:
    lab, process, held = web.lab, web.process, content(web)
    neighbour = find_daemon(lab.neighbour().session.connection.uri)
    status = Path(instance.environment["XDG_RUNTIME_DIR"], "libvirt/qemu/run", f"{web.facts.spec.domain_name}.xml")
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].clone('copy', kind='full')"
    with Kernel(code) as other:
        daemon = instance.daemon()
        _stop_within_a_backup(web, other, daemon, status)
        _wait_until_copied(lab.home)
        leave(status)
        daemon.kill()  # now that all is noted: the next one may be called by anybody at once
        daemon.wait(WAIT)
        if kernel == "goes on":
            assert other.process.pid is not None
            os.kill(other.process.pid, signal.SIGCONT)
            answer = other.answer()
            if leave is _leave_all and not answer.error:  # the next daemon has heard of the end in time: it is done
                assert content(lab.machines["copy"]) == held
                lab.machines["copy"].delete()
                told = ["clone web → copy was interrupted and taken back"]
            else:
                assert answer.error == "ConnectionLost", answer
                told = [answer.hint]
        else:
            other.kill()
            with Lab.open(lab.name) as again:
                told = list(again.recovered)
    if leave is _forget_how_far and kernel != "goes on":
        assert any("lost sight of web," in sentence for sentence in told)
    assert any("clone web → copy was interrupted and taken back" in sentence for sentence in told)
    assert list(lab.machines) == ["web"]
    assert not lab.orphans
    assert process is not None
    assert web.process is not None
    assert web.process.pid == process.pid
    assert not list(status.parent.glob("*.labkit"))
    web.pause().resume()
    web.snapshots.take("new")
    web.clone("copy", kind="full")
    assert web.state is MachineState.RUNNING
    assert content(lab.machines["copy"]) == held
    assert find_daemon(lab.neighbour().session.connection.uri) == neighbour


def test_only_a_session_s_daemon_of_our_own_is_ever_ended(lab: Lab, instance: Instance, tmp_path: Path) -> None:
    daemon = find_own_daemon(lab.session.connection.uri)
    assert daemon == instance.daemon()
    assert find_own_daemon("qemu:///system") is None
    place = os.path.relpath(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as ours:  # as systemd listens for a daemon that is not there yet
        ours.bind(place)
        ours.listen()
        uri = f"qemu+unix:///session?socket={place}"
        assert find_daemon(uri) == os.getpid()
        assert find_own_daemon(uri) is None
