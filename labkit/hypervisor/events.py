"""Events of the hypervisor: callbacks only enqueue values; one dispatcher thread hands them out.

libvirt's default event loop runs in one daemon thread per process. An event is not a source of state: whoever hears it
reads the state again. Only a time line, for which reading is too slow, uses `Event.stand`.

Knows: libvirt's event callbacks. Must not know: who listens.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

import libvirt

from labkit.model.event import Event, EventKind
from labkit.model.machine import MachineState, Reason

_log = logging.getLogger(__name__)

_STANDS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: {
        None: (MachineState.RUNNING, Reason.BOOTED),
        libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED: (MachineState.RUNNING, Reason.MIGRATED),
        libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED: (MachineState.RUNNING, Reason.RESTORED),
        libvirt.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT: (MachineState.RUNNING, Reason.RESTORED),
    },
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: {
        None: (MachineState.PAUSED, Reason.BY_USER),
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR: (MachineState.PAUSED, Reason.IO_ERROR),
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED_RESTORED: (MachineState.PAUSED, Reason.RESTORED),
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT: (MachineState.PAUSED, Reason.RESTORED),
    },
    libvirt.VIR_DOMAIN_EVENT_RESUMED: {
        None: (MachineState.RUNNING, Reason.BY_USER),
        libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED: (MachineState.RUNNING, Reason.MIGRATED),
    },
    libvirt.VIR_DOMAIN_EVENT_STOPPED: {
        None: (MachineState.OFF, Reason.UNKNOWN),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: (MachineState.OFF, Reason.SHUT_DOWN),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: (MachineState.OFF, Reason.KILLED),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: (MachineState.OFF, Reason.CRASHED),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: (MachineState.OFF, Reason.MIGRATED),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: (MachineState.SAVED, Reason.SAVED),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: (MachineState.OFF, Reason.FAILED),
        libvirt.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: (MachineState.OFF, Reason.RESTORED),
    },
    libvirt.VIR_DOMAIN_EVENT_CRASHED: {None: (MachineState.PAUSED, Reason.PANICKED)},
}
"""A domain's state after an event and the reason, by libvirt's event and detail; detail None: any other."""


Listener = Callable[[Event], None]

_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def start_event_loop() -> None:
    """Start libvirt's event loop, once per process, before the first connection; silence its stderr."""
    global _loop  # noqa: PLW0603 — libvirt has one event loop per process
    with _loop_lock:
        if _loop is not None:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _loop = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
        _loop.start()


def _run_event_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


class EventHub:
    """A queue of events, and one thread that hands each event to every listener, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self.arrived = threading.Condition()
        self.count = 0
        self._thread = threading.Thread(target=self._dispatch, name="labkit-events", daemon=True)
        self._thread.start()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hand every further event to `listener`; returns the function that ends this."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    def put(self, event: Event) -> None:
        """Enqueue an event; never blocks."""
        self._queue.put(event)

    def close(self) -> None:
        """End the dispatcher thread after the events that are already queued."""
        self.put(Event(kind=EventKind.STOP))

    def wait_beyond(self, count: int, timeout: float) -> int:
        """Wait until more than `count` events have been handed out or the time is up; returns how many have been."""
        with self.arrived:
            self.arrived.wait_for(lambda: self.count > count, timeout)
            return self.count

    def _dispatch(self) -> None:
        while (event := self._queue.get()).kind is not EventKind.STOP:
            with self.arrived:
                self.count += 1
                self.arrived.notify_all()
            with self._lock:
                listeners = tuple(self._listeners)
            for listener in listeners:
                try:
                    listener(event)
                except Exception:  # noqa: BLE001 — one listener's fault must not silence the others
                    _log.exception("a listener failed on %s", event)

    def register(self, connection: libvirt.virConnect) -> None:
        """Register for all events of a connection; to be called again after every reconnection."""

        def hear(kind: EventKind) -> Callable[..., None]:
            return lambda _connection, domain, *rest: self.put(
                Event(
                    kind=kind,
                    machine_id=domain.UUIDString(),
                    detail=str(rest[:2]),
                    stand=_read_stand(*rest[:2]) if kind is EventKind.LIFECYCLE else None,
                )
            )

        for number, kind in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, EventKind.LIFECYCLE),
            (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, EventKind.AGENT),
            (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, EventKind.METADATA),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, EventKind.IO_ERROR),
            (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, EventKind.JOB),
            (libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, EventKind.JOB),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, EventKind.DEVICE),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, EventKind.DEVICE),
        ):
            connection.domainEventRegisterAny(None, number, hear(kind), None)
        connection.registerCloseCallback(
            lambda _connection, reason, _opaque: self.put(Event(kind=EventKind.CLOSED, detail=str(reason))), None
        )


def _read_stand(event: int, detail: int) -> tuple[MachineState, Reason] | None:
    stands = _STANDS.get(event, {})
    return stands.get(detail, stands.get(None))
