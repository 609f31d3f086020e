"""A guest that begins while the log of its last emulator is still held waits for it instead of failing.

The log is a pipe to libvirt's log daemon; it is held here by a hand on its other end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Cancelled, HypervisorError
from labkit.hypervisor import launching
from labkit.machine import Machine
from tests.travel.sides import find_emulators, look

HELD = 1.0
"""Seconds the log is held after the act has begun."""


@contextmanager
def log_held(vm: Machine, seconds: float = 60) -> Iterator[None]:
    """Hold the log of a running guest, at most so long after the block has begun."""
    (pid,) = find_emulators(vm.id)
    with Path(f"/proc/{pid}/fd/2").open("wb", buffering=0) as hand:
        release = threading.Timer(seconds, hand.close)
        release.start()
        try:
            yield
        finally:
            release.cancel()


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine that runs in no time."""
    return lab.create("web", image="sector", memory="16 MiB").start().wait_ready()


def test_it_starts_once_the_log_is_free(vm: Machine) -> None:
    with log_held(vm, HELD):
        vm.kill()
        vm.start()
    assert vm.state == "running"


def test_it_goes_on_from_memory_once_the_log_is_free(vm: Machine) -> None:
    vm.snapshots.take("warm")
    with log_held(vm, HELD):
        vm.snapshots.restore("warm")
    assert vm.state == "running"


def test_an_instant_clone_goes_on_once_the_log_is_free(guest: Machine) -> None:
    guest.snapshots.take("warm")

    def clone() -> Machine:
        made = guest.clone("copy", kind="linked", snapshot="warm", instant=True)
        assert isinstance(made, Machine)
        return made

    first = clone()
    with log_held(first, HELD):
        first.kill()
        first.delete()
        second = clone()
    assert second.state == "running"


def test_it_goes_over_once_the_log_is_free(vm: Machine) -> None:
    lab, other = vm.lab, vm.lab.neighbour()
    vm.migrate(other)
    with log_held(vm, HELD):
        vm.migrate(lab)
        vm.migrate(other)
    assert (vm.lab, vm.state) == (other, "running")


def test_going_over_is_cancelled_while_the_log_is_held(vm: Machine) -> None:
    lab, other = vm.lab, vm.lab.neighbour()
    vm.migrate(other)
    cancel = threading.Event()
    with log_held(vm):
        vm.migrate(lab)
        threading.Timer(HELD, cancel.set).start()
        with pytest.raises(Cancelled):
            lab.carry_out(lab.machines["web"].migrate.plan(other), cancel=cancel)
    assert (look(lab).here, look(lab).there, look(lab).state) == (True, False, "running")


def test_a_log_that_stays_held_is_told(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "_PATIENCE", 0.3)
    with log_held(vm):
        vm.kill()
        with pytest.raises(HypervisorError, match=r"web\.log") as caught:
            vm.start()
    assert "wait a moment" in caught.value.hint
    vm.start()
    assert vm.state == "running"
