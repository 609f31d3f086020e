"""Events of the hypervisor as values.

Knows: what an event can say. Must not know: libvirt, who listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from labkit.model.machine import MachineState, Reason


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
    """Something happened; `machine_id` is the UUID of the domain, or None for the connection itself.

    Attributes:
        stand: the machine's state right after it and the reason, if it was switched.
    """

    kind: EventKind
    machine_id: str | None = None
    detail: str = ""
    stand: tuple[MachineState, Reason] | None = None
