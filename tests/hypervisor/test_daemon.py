"""The hypervisor's daemon and its guests die; the connection and the events live on."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator

import libvirt
import psutil
import pytest

from labkit import Lab
from labkit.errors import BadInput, ConnectionLost, TimedOut
from labkit.hypervisor.connection import Connection, check_uri
from labkit.hypervisor.domains import mark_act
from labkit.hypervisor.events import EventHub
from labkit.machine import Machine
from labkit.model.event import Event, EventKind
from labkit.model.machine import MachineState, Reason
from tests.conftest import Instance

WAIT = 60.0

Heard = Callable[[EventKind], Event]


@pytest.fixture
def sector(lab: Lab) -> Machine:
    """A running machine of the sector image."""
    return lab.create("web", image="sector", memory="16 MiB").start().wait_ready()


@pytest.fixture
def heard(lab: Lab) -> Iterator[Heard]:
    """Wait for the next event of a kind."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = lab.subscribe(events.put)

    def wait(kind: EventKind) -> Event:
        while (event := events.get(timeout=WAIT)).kind is not kind:
            pass
        return event

    yield wait
    stop()


def kill(process: psutil.Process) -> None:
    """End a process as a power cut would, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    psutil.wait_procs([process], timeout=WAIT)


def guest_process(machine: Machine) -> psutil.Process:
    process = machine.process
    assert process is not None
    return psutil.Process(process.pid)


def test_a_guest_outlives_the_daemon_and_the_next_call_reaches_it(
    lab: Lab, instance: Instance, sector: Machine
) -> None:
    before = guest_process(sector)
    kill(instance.daemon())
    assert sector.state is MachineState.RUNNING
    assert guest_process(sector) == before
    assert sector.pause().state is MachineState.PAUSED
    assert list(lab.machines) == ["web"]


def test_what_was_posted_is_done_before_a_connection_closes(lab: Lab, heard: Heard) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    closing = threading.Event()

    def mark(raw: libvirt.virConnect) -> None:
        closing.wait(WAIT)
        mark_act(raw.lookupByUUIDString(vm.id))

    other = Connection(lab.uri)
    other.post(mark)
    threading.Timer(0.2, closing.set).start()
    other.close()
    assert closing.is_set()
    assert heard(EventKind.METADATA).machine_id == vm.id


def test_events_arrive_again_after_the_daemon_died(instance: Instance, sector: Machine, heard: Heard) -> None:
    kill(instance.daemon())
    heard(EventKind.CLOSED)
    heard(EventKind.RECONNECTED)
    sector.pause()
    assert heard(EventKind.LIFECYCLE).machine_id == sector.id


def test_a_daemon_that_dies_again_and_again_is_followed(instance: Instance, sector: Machine) -> None:
    for _ in range(3):
        kill(instance.daemon())
        assert sector.state is MachineState.RUNNING


def test_a_killed_emulator_is_heard_of_and_seen_as_off(sector: Machine, heard: Heard) -> None:
    kill(guest_process(sector))
    while (stand := heard(EventKind.LIFECYCLE).stand) is None or stand[0] is not MachineState.OFF:
        pass
    assert sector.state is MachineState.OFF
    assert sector.reason is Reason.CRASHED
    assert sector.start().wait_ready().state is MachineState.RUNNING


def test_an_emulator_that_dies_while_the_daemon_is_away_is_off_too(instance: Instance, sector: Machine) -> None:
    process = guest_process(sector)
    kill(instance.daemon())
    kill(process)
    sector.wait_for("off")
    assert sector.reason in (Reason.CRASHED, Reason.FAILED, Reason.UNKNOWN)


def test_a_daemon_that_hangs_costs_no_more_than_the_time_limit(lab: Lab, instance: Instance) -> None:
    daemon = instance.daemon()
    daemon.suspend()
    try:
        began = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            lab.session.connection.call(lambda raw: raw.listAllDomains(0), timeout=0.5)
        assert time.monotonic() - began < 20
        assert caught.value.hint
    finally:
        daemon.resume()
    assert list(lab.machines) == []


def test_a_closed_lab_says_that_it_is_closed(lab: Lab) -> None:
    with Lab.open(
        lab.name, uri=f"qemu+unix:///session?socket={os.environ['XDG_RUNTIME_DIR']}/libvirt/libvirt-sock"
    ) as other:
        assert list(other.machines) == []
    with pytest.raises(ConnectionLost, match="closed") as caught:
        list(other.machines)
    assert "Lab.open" in caught.value.hint
    other.close()


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://host/session",
        "qemu://host/system",
        "qemu+tcp:///session",
        "xen:///system",
        "test:///default",
        "qemu:///",
        "",
    ],
)
def test_only_a_qemu_of_this_computer_is_accepted(uri: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_uri(uri)
    assert "qemu:///session" in caught.value.hint


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu:///system", "qemu+unix:///session?socket=/tmp/sock"])
def test_a_local_qemu_is_accepted(uri: str) -> None:
    assert check_uri(uri) == uri


def test_a_listener_that_fails_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    hub = EventHub()
    got: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def fail(_event: Event) -> None:
        raise RuntimeError("a listener's fault")

    hub.listen(fail)
    stop = hub.listen(got.put)
    first, second = Event(kind=EventKind.JOB), Event(kind=EventKind.DEVICE, machine_id="a")
    hub.put(first)
    hub.put(second)
    assert [got.get(timeout=WAIT), got.get(timeout=WAIT)] == [first, second]
    assert "a listener failed" in caplog.text
    stop()
    stop()
    hub.close()


def test_waiting_for_an_event_ends_with_the_time_limit() -> None:
    hub = EventHub()
    assert hub.wait_beyond(0, 0.01) == 0
    hub.put(Event(kind=EventKind.JOB))
    assert hub.wait_beyond(0, WAIT) == 1
    hub.close()
