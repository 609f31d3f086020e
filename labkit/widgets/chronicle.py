"""`Chronicle`: what has happened to the machines of a lab since its first panel, up to a limit.

Knows: happenings. Must not know: how they are shown, libvirt.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

from labkit.model.happenings import Happening, HappeningKind, compare, kind_of
from labkit.model.machine import MachineState, Reason
from labkit.model.state import LabState

KEPT = 60
"""How many happenings of one machine, and how many deleted machines, are kept."""

_FORGET_SECONDS = 60.0
"""How long events of a machine that no reading has shown are kept, since it may be just being made."""


class Chronicle:
    """What has happened; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, deque[Happening]] = {}
        self._gone: deque[Happening] = deque(maxlen=KEPT)

    def hear(self, machine_id: str, state: MachineState, reason: Reason) -> None:
        """Take a machine's state after an event."""
        with self._lock:
            self._turn(machine_id, state, reason, time.time())

    def take(self, before: LabState | None, after: LabState, *, began: float) -> None:
        """Take a reading, with the previous one and the time at which the reading began."""
        now = time.time()
        with self._lock:
            for happening in compare(before, after, when=now) if before else ():
                self._add(happening)
            for machine in after.machines.values():
                last = self._last(machine.id)
                if last is None:
                    self._add(Happening(when=now, machine_id=machine.id, kind=HappeningKind.SEEN, state=machine.state))
                elif last.state is not machine.state and last.when < began:  # there was no event
                    self._turn(machine.id, machine.state, machine.reason, now)
            self._forget({machine.id for machine in after.machines.values()}, now)

    def of(self, machine_id: str) -> tuple[Happening, ...]:
        """Return what happened to a machine, oldest first."""
        with self._lock:
            return tuple(self._kept.get(machine_id, ()))

    def told(self, machine_id: str, name: str) -> tuple[Happening, ...]:
        """Return the same without the first look, each with the machine's name."""
        return tuple(replace(each, name=name) for each in self.of(machine_id) if each.kind is not HappeningKind.SEEN)

    def gone(self) -> tuple[Happening, ...]:
        """Return the machines that were deleted, oldest first."""
        with self._lock:
            return tuple(self._gone)

    def _turn(self, machine_id: str, state: MachineState, reason: Reason, when: float) -> None:
        last = self._last(machine_id)
        if last is not None and last.state is state and reason is not Reason.RESTORED:
            return
        kind = kind_of(state, reason, before=last.state if last else None)
        self._add(Happening(when=when, machine_id=machine_id, kind=kind, state=state))

    def _add(self, happening: Happening) -> None:
        if happening.kind in (HappeningKind.DELETED, HappeningKind.MIGRATED) and happening.state is None:
            self._gone.append(happening)
            self._kept.pop(happening.machine_id, None)
            return
        kept = self._kept.setdefault(happening.machine_id, deque(maxlen=KEPT))
        if happening.kind in (HappeningKind.CREATED, HappeningKind.CLONED) and kept:
            kept.appendleft(happening)  # its first events came before the first reading of it
        else:
            kept.append(happening)

    def _last(self, machine_id: str) -> Happening | None:
        """Return the last happening that says a machine's state."""
        return next((each for each in reversed(self._kept.get(machine_id, ())) if each.state is not None), None)

    def _forget(self, known: set[str], now: float) -> None:
        for machine_id in self._kept.keys() - known:
            if self._kept[machine_id][-1].when < now - _FORGET_SECONDS:
                del self._kept[machine_id]
