"""How long a run would have taken on a computer with nothing else to do: what it worked and waited, not what it queued.

On a busy computer everything takes longer, and a limit in seconds of the clock says nothing. The kernel counts for each
thread how long it ran and how long it stood in the queue for a CPU (`/proc/PID/task/TID/schedstat`). From one look to
the next, the threads of the run wanted so many CPUs at once:

    wanted = (ran + queued) / seconds

Where that is less than one, nobody was at work for the rest: it was waiting, which counts in full. What was worked
takes, on a quiet computer, as long as it did here, shared by as many CPUs as were wanted, as had work (of one thread
that works and many that look up now and then, one), and as there are:

    at work = (sum of ran)² / sum of ran²
    worked = ran / max(1, min(wanted, at work, CPUs))        waited = seconds - (ran + queued)

The kernel counts time in the queue only when it has ended. So what looks like waiting is believed after a while
(`DOUBT_SECONDS`), if it was not in the queue after all.

Knows: processes of the host. Must not know: notebooks, labkit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 0.2
DOUBT_SECONDS = 0.5
TURNS = 400_000
"""Of the loop by which a computer's speed is measured: about a hundredth of a second."""

Counts = tuple[int, int]
"""Nanoseconds that a thread ran, and stood in the queue."""


def worked(seconds: float, ran: Sequence[float], queued: float, cpus: int) -> float:
    """Return how long what each thread ran in some seconds would have taken on a quiet computer; see the module."""
    total = sum(ran)
    if seconds <= 0 or total <= 0:
        return 0.0
    at_work = total**2 / sum(each**2 for each in ran)
    return total / max(1.0, min((total + queued) / seconds, at_work, float(cpus)))


def measure_speed(rounds: int = 5) -> float:
    """Return the seconds of CPU that a loop takes here, the least of several rounds, whoever else is at work."""
    found = []
    for _round in range(rounds):
        began, total = time.thread_time(), 0
        for number in range(TURNS):
            total += number & 7
        found.append(time.thread_time() - began)
    return min(found)


@dataclass(slots=True)
class Effort:
    """Adds up what the processes below a folder, by their environment or their command line, work and wait.

    Attributes:
        sum: seconds on a quiet computer until now, but for what is in doubt.
    """

    folder: Path
    sum: float = 0.0
    _doubt: float = 0.0
    _ours: dict[tuple[str, str], bool] = field(default_factory=dict)
    _before: dict[tuple[str, str], Counts] = field(default_factory=dict)
    _at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> float:
        """Add what was done since the last look, and return the sum."""
        with self._lock:
            now, counts = time.monotonic(), dict(self._threads())
            since = [
                (has_run - self._before.get(thread, (0, 0))[0], has_queued - self._before.get(thread, (0, 0))[1])
                for thread, (has_run, has_queued) in counts.items()
            ]
            self._add(now - self._at, [ran / 1e9 for ran, _queued in since], sum(each for _ran, each in since) / 1e9)
            self._before, self._at = counts, now
            return self.sum + max(0.0, self._doubt)

    def _add(self, seconds: float, ran: Sequence[float], queued: float) -> None:
        self.sum += worked(seconds, ran, queued, os.cpu_count() or 1)
        self._doubt = max(-DOUBT_SECONDS, self._doubt + seconds - sum(ran) - queued)
        waited = max(0.0, self._doubt - DOUBT_SECONDS)
        self.sum, self._doubt = self.sum + waited, self._doubt - waited

    def _threads(self) -> list[tuple[tuple[str, str], Counts]]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):  # it has ended meanwhile
                if self._is_ours(process):
                    for task in (process / "task").iterdir():
                        ran, queued, _times = (task / "schedstat").read_text().split()
                        found.append(((process.name, task.name), (int(ran), int(queued))))
        return found

    def _is_ours(self, process: Path) -> bool:
        """Whether a process is of the run; it is asked once, since what it is started as does not change."""
        key = process.name, (process / "stat").read_text().rpartition(")")[2].split()[19]
        if key not in self._ours:
            mark = f"{self.folder}/".encode()
            texts = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
            self._ours[key] = any(mark in text for text in texts)
        return self._ours[key]
