"""`Store`: what the panels of one lab last read of it, and the one thread that reads again.

However many panels there are, news of the hypervisor cost one reading, and the CPU and memory in use
one call a second, only while a panel is on screen. The store holds panels weakly and ends with its lab.

Knows: the lab's readings and events. Must not know: how they are shown.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from labkit.errors import LabError
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.model.usage import MachineUsage
from labkit.widgets.chronicle import Chronicle

if TYPE_CHECKING:
    from labkit.hypervisor.events import Event
    from labkit.lab import Lab
    from labkit.widgets.panel import Panel

TICK_SECONDS = 1.0
"""How often CPU and memory are read while a panel is on screen."""

FRAME_SECONDS = 0.1
"""The least time between two layouts: events that come faster are one."""

KEPT_SAMPLES = 60

_NOT_ON = (MachineState.OFF, MachineState.SAVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a machine used over the last tick.

    Attributes:
        cpus: CPUs of the host; 1.0 is one of them, busy. memory: bytes. written: bytes a second, to all its disks.
    """

    cpus: float
    memory: int
    written: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A lab as last read.

    Attributes:
        state: None before the first reading succeeded.
        samples: by machine id, oldest first, at most 60; only of machines that are on.
        growth: bytes allocated to each disk, by name, oldest first, at most 60; only while a panel follows disks.
        trouble: why the last reading failed, or None; `state` is then an older one.
        closed: whether the lab was closed.
    """

    state: LabState | None = None
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    growth: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trouble: LabError | None = None
    closed: bool = False


class Store:
    """The readings of one lab, shared by its panels; get it with `Store.of(lab)`."""

    _stores: ClassVar[weakref.WeakKeyDictionary[Lab, Store]] = weakref.WeakKeyDictionary()
    _guard = threading.Lock()

    def __init__(self, lab: Lab) -> None:
        self._lab = weakref.ref(lab)
        self._lock = threading.RLock()
        self._reading = Reading()
        self._panels: weakref.WeakSet[Panel] = weakref.WeakSet()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._usage: tuple[float, Mapping[str, MachineUsage]] = (0.0, {})
        self._samples: dict[str, deque[Sample]] = {}
        self._grown: dict[str, deque[int]] = {}
        self._durations: dict[str, float] = {}
        self.chronicle = Chronicle()
        self._unsubscribe = lab.subscribe(self._hear)

    @classmethod
    def of(cls, lab: Lab) -> Store:
        """Return the store of a lab, the same for all its panels."""
        with cls._guard:
            if lab not in cls._stores:
                cls._stores[lab] = cls(lab)
            return cls._stores[lab]

    @property
    def reading(self) -> Reading:
        """What was last read; no I/O."""
        return self._reading

    def read(self) -> Reading:
        """Read the lab's state now; an error of the lab becomes `trouble`."""
        lab = self._lab()
        with self._lock:
            if lab is None or lab.closed:
                self._reading = replace(self._reading, closed=True, trouble=None)
            else:
                began, before = time.time(), self._reading.state
                try:
                    state = lab.state
                    self._reading = replace(self._reading, state=state, trouble=None)
                    self.chronicle.take(before, state, began=began)
                except LabError as error:
                    self._reading = replace(self._reading, trouble=error)
            return self._reading

    def follow(self, panel: Panel) -> None:
        """Lay the panel out again whenever there is news, as long as it is on screen."""
        with self._lock:
            self._panels.add(panel)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=_follow, args=(weakref.ref(self),), name="labkit panels", daemon=True
                )
                self._thread.start()

    def poke(self) -> None:
        """Read again soon: something was done, or a panel came into sight."""
        self._news.set()

    def remember(self, act: str, seconds: float) -> None:
        """Remember how long an act took, to announce it next time."""
        self._durations[act] = seconds

    def expected(self, act: str) -> float | None:
        """Return how long an act took last time in this lab, in seconds, or None."""
        return self._durations.get(act)

    def _hear(self, event: Event) -> None:
        if event.machine_id is not None and event.stand is not None:
            self.chronicle.hear(event.machine_id, *event.stand)
        self._news.set()

    def _take_usage(self, lab: Lab) -> bool:
        """Read what all machines use, if it is time; return whether the state must be read, too."""
        before, old = self._usage
        now = time.monotonic()
        if now - before < TICK_SECONDS:
            return False
        try:
            usage = lab.usage()
        except LabError:
            return True
        self._usage = (now, usage)
        for machine_id, used in usage.items():
            last = old.get(machine_id)
            if last is None or used.cpu_time < last.cpu_time or used.state in _NOT_ON:
                self._samples.pop(machine_id, None)
                continue
            cpus = (used.cpu_time - last.cpu_time) / (now - before)
            kept = self._samples.setdefault(machine_id, deque(maxlen=KEPT_SAMPLES))
            memory = used.memory or (kept[-1].memory if kept else 0)  # 0: not known while it is busy
            written = max(0, used.written_bytes - last.written_bytes) / (now - before)
            kept.append(Sample(cpus=cpus, memory=memory, written=written))
        for machine_id in self._samples.keys() - usage.keys():
            del self._samples[machine_id]
        samples = {machine_id: tuple(kept) for machine_id, kept in self._samples.items()}
        with self._lock:
            self._reading = replace(self._reading, samples=samples)
        return self._reading.state is None or _differs(self._reading.state, usage)

    def _take_growth(self) -> None:
        """Keep what the host has given each disk by now."""
        disks = self._reading.state.disks if self._reading.state else {}
        for name, disk in disks.items():
            self._grown.setdefault(name, deque(maxlen=KEPT_SAMPLES)).append(disk.allocated)
        for name in self._grown.keys() - disks.keys():
            del self._grown[name]
        with self._lock:
            self._reading = replace(self._reading, growth={name: tuple(kept) for name, kept in self._grown.items()})

    def _turn(self) -> bool:
        """Wait for news or the tick, read, lay out; return whether to go on."""
        woken = self._news.wait(TICK_SECONDS)
        self._news.clear()
        lab = self._lab()
        ended = lab is None or lab.closed
        panels = [panel for panel in list(self._panels) if panel.is_shown]
        if lab is None or lab.closed:
            self._unsubscribe()
            self.read()
        elif panels:
            before = self._usage[0]
            missed = self._take_usage(lab)
            ticked = self._usage[0] != before and any(panel.follows_disks for panel in panels)
            if missed or woken or ticked or self._reading.trouble:
                self.read()
            if ticked:
                self._take_growth()
        for panel in panels:
            panel.redraw()
        return not ended


def _differs(state: LabState, usage: Mapping[str, MachineUsage]) -> bool:
    """Whether a machine is on by one reading and not by the other: an event was missed."""
    return any(
        machine.id not in usage
        or (usage[machine.id].state != machine.state and machine.state is not MachineState.SAVED)
        for machine in state.machines.values()
    )


def _follow(store: weakref.ref[Store]) -> None:
    """Turn until the lab is closed or the store is gone."""
    while True:
        alive = store()
        if alive is None or not alive._turn():
            return
        del alive
        time.sleep(FRAME_SECONDS)
