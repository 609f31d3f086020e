"""A guest's heartbeat: the guest counts on its console, and the host records when each count arrives.

    with Heartbeat(vm) as heart:
        vm.migrate(other)
    heart.longest_pause

A guest does not notice that it was stopped, since its own clock stops with it. So the host's clock is used. Whether a
pause means anything is judged by how regular the same heart was before (`labkit.model.measurement.stood_still`).
Knows: machines. Must not know: why a guest pauses.
"""

from __future__ import annotations

import itertools
import re
import statistics
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from labkit.errors import GuestSilent, HostTrouble, LabError
from labkit.experiments.given import check_machine
from labkit.language import _
from labkit.model.architecture import X86_64
from labkit.model.measurement import stood_still
from labkit.storage.plain import opened_plain
from labkit.units import KIB, check_seconds

if TYPE_CHECKING:
    from labkit.machine import Machine

PERIOD = 0.01
"""Seconds that a guest waits between two beats; each takes a little longer, especially under emulation."""

_BEAT = re.compile(rb"beat (\d{1,18})")
_LOOK = 0.002  # seconds between two looks at the console's log
_FIRST_BEAT = 60.0
_CHUNK, _LONGEST = 64 * KIB, 100  # the most bytes that are read at once, and of an unfinished line
_MARK = "/run/heartbeat"
_LOOP = (
    f": > {_MARK}; (n=0; while [ -e {_MARK} ]; do n=$((n+1)); echo beat $n; usleep {PERIOD * 1e6:.0f}; done)"
    f" > /dev/{X86_64.console} 2>/dev/null < /dev/null &"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A beat: its number, and when it was seen, in seconds of the host's monotonic clock."""

    number: int
    at: float


class Heartbeat:
    """Lets a running guest beat, and listens, during a `with` block.

    Attributes:
        beats: those heard, in order. ended: when the listening ended, by the same clock; None: it has not.
    """

    def __init__(self, vm: Machine) -> None:
        check_machine(vm, "vm")
        self._vm = vm
        log = vm.facts.spec.console_log
        if log is None:
            raise HostTrouble(_("{name} has no log of its console.").format(name=vm.name))
        self._log = Path(log)
        self._over = threading.Event()
        self._begun = threading.Event()
        self._ear = threading.Thread(target=self._listen, name="labkit-heartbeat", daemon=True)
        self.beats: list[Beat] = []
        self.ended: float | None = None

    @property
    def moments(self) -> list[float]:
        """When each beat was seen, in order; last, when the listening ended: a heart that has stopped is silent."""
        return [*(beat.at for beat in self.beats), *([] if self.ended is None else [self.ended])]

    def stood_still(self, event: float) -> bool | None:
        """Whether the guest stood still after a moment of the host's monotonic clock.

        Returns:
            None: it cannot be told; see `labkit.model.measurement.stood_still`.

        Raises:
            BadInput: it is no moment.
        """
        return stood_still(self.moments, check_seconds(event, what="event"))

    @property
    def period(self) -> float:
        """The median of the seconds from one beat to the next."""
        return statistics.median(self._pauses()) if len(self.beats) > 1 else 0.0

    @property
    def longest_pause(self) -> float:
        """The longest time from one beat to the next, in seconds."""
        return max(self._pauses(), default=0.0)

    @property
    def lost(self) -> int:
        """How many beats were missed or heard twice: none if the same guest beat all the time."""
        numbers = [beat.number for beat in self.beats]
        return sum(abs(after - before - 1) for before, after in itertools.pairwise(numbers))

    def __enter__(self) -> Self:
        self._position = self._vm.console.position
        self._ear.start()
        try:
            self._vm.run(_LOOP)
        except BaseException:
            self._end()
            raise
        if not self._begun.wait(_FIRST_BEAT):
            self._end()
            raise GuestSilent(_("{name} does not beat.").format(name=self._vm.name), details=self._vm.console.tail())
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end()
        self.ended = time.monotonic()
        try:
            self._vm.run(f"rm -f {_MARK}")
        except LabError:
            if error is None:
                raise

    def _end(self) -> None:
        self._over.set()
        self._ear.join()

    def _pauses(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.moments)]

    def _listen(self) -> None:
        rest = b""
        with suppress(OSError), opened_plain(self._log) as log:  # no file: nothing is heard
            log.seek(self._position)
            while not self._over.is_set():
                data = log.read(_CHUNK)
                if not data:
                    time.sleep(_LOOK)
                    continue
                now = time.monotonic()
                *lines, rest = (rest[-_LONGEST:] + data).split(b"\n")
                numbers = (_BEAT.search(line) for line in lines)
                self.beats += [Beat(number=int(match[1]), at=now) for match in numbers if match]
                if self.beats:
                    self._begun.set()
