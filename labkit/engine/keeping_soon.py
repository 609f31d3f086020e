"""Making a guest that is kept booted without being in anybody's way: after a boot, once the computer has time for it.

One process makes one at a time, as a guest that gets only the time that no other program wants; if the lab is closed it
is given up. Nobody is told if it fails: machines go on booting.
Knows: how a guest is kept. Must not know: which machine goes on from it.
"""

from __future__ import annotations

import contextlib
import threading
import time

import psutil

from labkit.engine import keeping, kept_guests
from labkit.engine.as_made import Kind
from labkit.engine.handle import Handle
from labkit.errors import LabError
from labkit.limits import Limit

IDLE_SECONDS = 2
"""So many seconds, one after the other, the computer must have had time."""

IDLE_CPUS = 0.75
"""It has time if so much of its CPUs, all together, had nothing to do."""

YIELDS = True
"""Whether a guest that is made so gets only the time that no other program wants."""

WAITS_AT_MOST = 1800.0
"""Seconds; a computer that is busy for so long has no time for it."""

MADE_WITHIN = 300.0
"""Seconds; a boot takes longer if it gets only the time that is left over."""

_EVERYBODY = "background"
"""The lock of whoever makes one in the background, of whatever kind."""


def keep_soon(machine: Handle, kind: Kind) -> None:
    """Make the guest of a kind in the background, if there is none, once a machine that has just been started is up."""

    def work(ending: threading.Event) -> None:
        limit = Limit(WAITS_AT_MOST, cancel=ending)
        with contextlib.suppress(LabError, OSError):
            keeping.wait_for_prompt(machine.console, kind.image, limit)
            while not (has_time(limit) and _make_in_turn(machine, kind, limit)):
                pass

    machine.session.background.begin(f"keep {kind.folder.name}", work)


def has_time(limit: Limit) -> bool:
    """Return, after some seconds at most, whether the computer had time meanwhile.

    Raises:
        Cancelled, TimedOut: from the limit.
    """
    for _second in range(IDLE_SECONDS):
        before, began = _idle_seconds(), time.monotonic()
        limit.wait(1.0)
        if (_idle_seconds() - before) / (time.monotonic() - began) < IDLE_CPUS:
            return False
    return True


def _make_in_turn(machine: Handle, kind: Kind, limit: Limit) -> bool:
    """Make the guest if nobody else is making one; returns whether there is nothing left to do."""
    with kept_guests.making(_EVERYBODY) as first, kept_guests.making(kind.folder.name) as mine:
        if not first:
            return False  # another one is being made
        if mine and kept_guests.find_kept(kind.folder) is None:
            keeping.make(machine.session, kind, limit.within(MADE_WITHIN), last=YIELDS)
        return True


def _idle_seconds() -> float:
    """Return how long this computer's CPUs have had nothing to do, all together."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))
