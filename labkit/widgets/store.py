"""`Store`: what the panels of one lab last read of it, and the threads that read again and lay panels out.

However many panels there are, news of the hypervisor costs one reading, and CPU and memory cost one call a second, and
only while a panel is on screen. Reading many machines takes a while, so a machine that was switched is shown at once as
its event says, and the reading follows. Acts of other kernels that cause no event are noticed through the journal. The
store holds panels weakly and ends with its lab.

Knows: the lab's readings and events. Must not know: how they are shown.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from labkit.errors import LabError
from labkit.model.machine import MachineState, Reason
from labkit.model.state import LabState
from labkit.model.usage import MachineUsage
from labkit.widgets.chronicle import Chronicle
from labkit.widgets.reading import LabReading, Sample

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.model.event import Event
    from labkit.widgets.panel import Panel

_log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""Seconds between two readings of CPU and memory while a panel is on screen."""

FRAME_SECONDS = 0.02
"""The least seconds between two layouts; events that come faster are shown together."""

READ_SECONDS = 0.05
"""Seconds to wait before each reading, so that events are laid out first, and after it."""

WATCH_SECONDS = 0.25
"""Seconds between two looks at the lab's journal while a panel is on screen."""

_SHARE, _LONGEST_PAUSE = 0.3, 3.0  # the most of the time for readings without an event; seconds

KEPT_SAMPLES = 60

_NOT_ON = (MachineState.OFF, MachineState.SAVED)


class Store:
    """The readings of one lab, shared by its panels; returned by `Store.of(lab)`."""

    _stores: ClassVar[weakref.WeakKeyDictionary[Lab, Store]] = weakref.WeakKeyDictionary()
    _guard = threading.Lock()

    def __init__(self, lab: Lab) -> None:
        self._lab = weakref.ref(lab)
        self._lock = threading.RLock()
        self._reading = LabReading()
        self._panels: weakref.WeakKeyDictionary[Panel, float] = weakref.WeakKeyDictionary()  # seconds of a layout
        self._reading_lock = threading.Lock()
        self._news, self._fresh = threading.Event(), threading.Event()
        self._was_read = False
        self._threads: tuple[threading.Thread, ...] = ()
        self._stands: dict[str, tuple[float, MachineState, Reason]] = {}
        self._usage: tuple[float, Mapping[str, MachineUsage]] = (0.0, {})
        self._due, self._usage_due = 0.0, 0.0
        self._journal_age = 0
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
    def reading(self) -> LabReading:
        """The last reading; no I/O."""
        return self._reading

    def read(self) -> LabReading:
        """Read the lab's state now; an error of the lab becomes `trouble`."""
        with self._reading_lock:
            lab, began = self._lab(), time.time()
            if lab is None or lab.closed:
                return self._set(closed=True, trouble=None)
            try:
                state = lab.state
            except LabError as error:
                return self._set(trouble=error)
            finally:
                self._due = time.time() + _pause_after(time.time() - began)
            self.chronicle.take(self._reading.state, state, began=began)
            with self._lock:
                self._stands = {each: stand for each, stand in self._stands.items() if stand[0] >= began}
                for machine_id, (_when, stand, reason) in self._stands.items():  # switched during this reading
                    state = state.with_stand(machine_id, stand, reason)
                return self._set(state=state, trouble=None)

    def _set(self, **changes: Any) -> LabReading:
        with self._lock:
            self._reading = replace(self._reading, **changes)
            return self._reading

    def follow(self, panel: Panel) -> None:
        """Lay a panel out again whenever there is news, as long as it is on screen."""
        with self._lock:
            self._panels.setdefault(panel, 0.0)
            if not self.is_following:
                self._threads = tuple(
                    threading.Thread(
                        target=_follow,
                        args=(weakref.ref(self), turn),
                        name=f"labkit panels: {turn.__name__}",
                        daemon=True,
                    )
                    for turn in (Store._read_turn, Store._layout_turn)
                )
                for thread in self._threads:
                    thread.start()

    @property
    def is_following(self) -> bool:
        """Whether the threads are running."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def poke(self) -> None:
        """Read again soon, since something was done or a panel came into sight."""
        self._news.set()

    def remember(self, act: str, seconds: float) -> None:
        """Remember how long an act took, as an estimate for the next time."""
        self._durations[act] = seconds

    def expected(self, act: str) -> float | None:
        """Return how long an act took last time in this lab, in seconds, or None."""
        return self._durations.get(act)

    def _hear(self, event: Event) -> None:
        if event.machine_id is not None and event.stand is not None:
            self.chronicle.hear(event.machine_id, *event.stand)
            with self._lock:
                self._stands[event.machine_id] = (time.time(), *event.stand)
                if self._reading.state is not None:
                    self._set(state=self._reading.state.with_stand(event.machine_id, *event.stand))
            self._fresh.set()
        self._news.set()

    def _take_usage(self, lab: Lab) -> bool:
        """Read what all machines use, if it is time; return whether the state must be read, too."""
        before, old = self._usage
        now = time.monotonic()
        if now < self._usage_due:
            return False
        try:
            usage = lab.usage()
        except LabError:
            return True
        self._usage = (now, usage)
        self._usage_due = now + _pause_after(time.monotonic() - now)
        for machine_id, used in usage.items():
            last = old.get(machine_id)
            if last is None or used.cpu_time < last.cpu_time or used.state in _NOT_ON:
                self._samples.pop(machine_id, None)
                continue
            cpus = (used.cpu_time - last.cpu_time) / (now - before)
            kept = self._samples.setdefault(machine_id, deque(maxlen=KEPT_SAMPLES))
            memory = used.memory or (kept[-1].memory if kept else 0)  # 0: not known while libvirt is busy with it
            written = max(0, used.written_bytes - last.written_bytes) / (now - before)
            kept.append(Sample(cpus=cpus, memory=memory, written=written))
        for machine_id in self._samples.keys() - usage.keys():
            del self._samples[machine_id]
        samples = {machine_id: tuple(kept) for machine_id, kept in self._samples.items()}
        self._set(samples=samples)
        return self._reading.state is None or _differs(self._reading.state, usage)

    def _take_growth(self) -> None:
        """Add to the samples what the host has given each disk."""
        disks = self._reading.state.disks if self._reading.state else {}
        for name, disk in disks.items():
            self._grown.setdefault(name, deque(maxlen=KEPT_SAMPLES)).append(disk.allocated)
        for name in self._grown.keys() - disks.keys():
            del self._grown[name]
        self._set(growth={name: tuple(kept) for name, kept in self._grown.items()})

    def _read_turn(self) -> bool:
        """Wait for news or the next tick, and read what must be read; return whether to go on."""
        woken = self._news.wait(WATCH_SECONDS)
        if woken:
            time.sleep(READ_SECONDS)
        self._news.clear()
        lab = self._lab()
        if lab is None or lab.closed:
            self._unsubscribe()
            self.read()
            self._fresh.set()
            return False
        if panels := [panel for panel in list(self._panels) if panel.is_shown]:
            before = self._usage[0]
            woken = self._has_acts(lab) or woken
            missed = self._take_usage(lab)
            ticked = self._usage[0] != before
            grows = ticked and time.time() >= self._due and any(panel.follows_disks for panel in panels)
            if missed or woken or grows or (ticked and self._reading.trouble):
                self.read()
            if grows:
                self._take_growth()
            if missed or woken or ticked:
                self._was_read = True
                self._fresh.set()
        time.sleep(READ_SECONDS)
        return True

    def _has_acts(self, lab: Lab) -> bool:
        """Whether an act has begun or ended in any kernel since the last look, which shows in the journal."""
        try:
            age = (lab.home / "journal").stat().st_mtime_ns
        except OSError:
            return False
        before, self._journal_age = self._journal_age, age
        return age != before

    def _layout_turn(self) -> bool:
        """Wait until something was read or heard, and lay panels out; return whether to go on.

        Panels that show states of machines come first, the quickest first. The other panels wait if there is further
        news meanwhile.
        """
        if self._fresh.wait(TICK_SECONDS) or self._reading.closed:
            self._fresh.clear()
            was_read, self._was_read = self._was_read or self._reading.closed, False
            for panel, _seconds in sorted(self._panels.items(), key=lambda each: (not each[0].shows_states, each[1])):
                if not panel.is_shown or not (was_read or panel.shows_states):
                    continue
                if not panel.shows_states and self._fresh.is_set():
                    self._was_read = True
                    break
                began = time.monotonic()
                try:
                    panel.redraw()
                except Exception:  # noqa: BLE001 — one panel's fault must not silence the others
                    _log.exception("a panel cannot be laid out")
                self._panels[panel] = time.monotonic() - began
            time.sleep(FRAME_SECONDS)
        return not self._reading.closed


def _differs(state: LabState, usage: Mapping[str, MachineUsage]) -> bool:
    """Whether a machine is on in one reading and off in the other, so that an event was missed."""
    return any(
        machine.id not in usage
        or (usage[machine.id].state != machine.state and machine.state is not MachineState.SAVED)
        for machine in state.machines.values()
    )


def _pause_after(seconds: float) -> float:
    """Return how long to wait, from the beginning of a reading that took so long, until the next one."""
    return min(max(TICK_SECONDS, seconds / _SHARE), _LONGEST_PAUSE)


def _follow(store: weakref.ref[Store], turn: Callable[[Store], bool]) -> None:
    """Call `turn` again and again until the lab is closed or the store is gone."""
    while True:
        alive = store()
        if alive is None or not turn(alive):
            return
        del alive
