"""A daemon dies when it was about to start a guest: the next one must not believe for ever that somebody starts it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from lxml import etree

from labkit import Lab
from labkit.errors import ConnectionLost
from labkit.machine import Machine
from labkit.model.machine import MachineState
from tests.instance import Instance


def _die_before_the_emulator_is_there(instance: Instance, vm: Machine) -> None:
    """Leave what a daemon leaves that has noted that it starts a guest, and whose child has not become QEMU yet."""
    status = Path(instance.environment["XDG_RUNTIME_DIR"], "libvirt/qemu/run", f"{vm.facts.spec.domain_name}.xml")
    assert vm.process is not None
    daemon, emulator = instance.daemon(), psutil.Process(vm.process.pid)
    daemon.suspend()  # it must not note that the emulator has gone, nor may the next one come before all is noted
    emulator.kill()
    emulator.wait(60)
    root = etree.fromstring(status.read_bytes())
    for name, value in {"state": "paused", "reason": "starting up", "pid": "0"}.items():
        root.set(name, value)
    noted = {"type": "none", "async": "start", "flags": "0x0", "asyncStarted": "1"}
    root.insert(0, etree.Element("job", noted))
    status.write_bytes(etree.tostring(root))
    daemon.kill()
    daemon.wait(60)


@pytest.mark.parametrize("before", ["off", "saved"])
@pytest.mark.parametrize("at", ["the next opening", "the next switching"])
def test_a_guest_that_was_never_started_is_as_it_was(lab: Lab, instance: Instance, before: str, at: str) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    other = lab.create("other", image="sector", memory="16 MiB").start()
    assert other.process is not None
    running = other.process.pid
    saved = Path(os.environ["XDG_CONFIG_HOME"], "libvirt/qemu/save", f"{vm.facts.spec.domain_name}.save")
    if before == "saved":
        vm.save()
        memory = saved.read_bytes()
        vm.start()
        saved.write_bytes(memory)
    _die_before_the_emulator_is_there(instance, vm)
    if at == "the next opening":
        with Lab.open(lab.name) as again:
            assert any("Starting web was cut short" in sentence for sentence in again.recovered)
        assert vm.state == before
        assert saved.exists() == (before == "saved")
    vm.start()
    assert vm.state is MachineState.RUNNING
    assert other.process.pid == running


def test_an_act_in_which_the_daemon_dies_so_is_ended_at_once(lab: Lab, instance: Instance) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.snapshots.take("clean")
    trouble: ConnectionLost | None = None
    while trouble is None:  # until the daemon was caught in time
        with _watched(instance, vm):
            try:
                vm.snapshots.restore("clean")
            except ConnectionLost as error:
                trouble = error
    assert "restore web@clean was interrupted and has been completed." in trouble.hint
    assert vm.state is MachineState.RUNNING


@contextmanager
def _watched(instance: Instance, vm: Machine) -> Iterator[None]:
    """Kill the daemon if it is seen when it has noted that it starts a guest, and there is no emulator yet."""
    status = Path(instance.environment["XDG_RUNTIME_DIR"], "libvirt/qemu/run", f"{vm.facts.spec.domain_name}.xml")
    daemon, over = instance.daemon(), threading.Event()

    def is_unborn() -> bool:
        with suppress(OSError, etree.XMLSyntaxError):
            return etree.fromstring(status.read_bytes()).get("pid") == "0"
        return False

    def watch() -> None:
        while not over.wait(0.0005):
            if is_unborn():
                daemon.suspend()
                if is_unborn():
                    daemon.kill()
                    return
                daemon.resume()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
