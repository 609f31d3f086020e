"""Events of the hypervisor: callbacks only enqueue values; one dispatcher thread hands them out.

libvirt's default event loop runs in one daemon thread per process. An event never carries state: who
hears it reads the state again.

Knows: libvirt's event callbacks. Must not know: who listens.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import libvirt

_log = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What an event is about."""

    LIFECYCLE = "lifecycle"
    AGENT = "agent"
    METADATA = "metadata"
    IO_ERROR = "io error"
    JOB = "job"
    DEVICE = "device"
    RECONNECTED = "reconnected"
    CLOSED = "closed"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened; `machine_id` is the UUID of the domain, or None for the connection itself."""

    kind: EventKind
    machine_id: str | None = None
    detail: str = ""


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
    """A queue of events and one thread that hands each to every listener, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self.arrived = threading.Condition()
        self.count = 0
        self._thread = threading.Thread(target=self._dispatch, name="labkit-events", daemon=True)
        self._thread.start()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hand every further event to `listener`; returns the call that ends it."""
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
        """Wait until more than `count` events have been handed out, or the time is up; returns how many were."""
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
        """Hear of everything on this connection; again after every reconnection."""

        def hear(kind: EventKind) -> Callable[..., None]:
            return lambda _connection, domain, *rest: self.put(
                Event(kind=kind, machine_id=domain.UUIDString(), detail=str(rest[:2]))
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
