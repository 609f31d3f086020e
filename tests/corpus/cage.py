"""What a child tries on mutants, with little memory, and how it tells what came of each."""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from labkit.errors import LabError
from labkit.units import MIB

SECONDS = 2.0
"""CPU time that one mutant may take, tools included; of other programs' on a busy computer nothing is said."""

ROOM = 256 * MIB
"""Bytes that one process may have more than what it began with."""

_HANGS = 120  # seconds of the clock after which something is waited for that does not come


class _Hangs(BaseException):
    """Nothing came for a long time."""


def try_all(name: str, mutants: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Try each mutant and print what came of all as one line of JSON: how many were taken, refused, what failed."""
    taken, refused, slowest, failures = 0, 0, 0.0, []
    size = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _give_up)
    for what, act in mutants:
        began = _spent()
        signal.alarm(_HANGS)
        try:
            act()
            taken += 1
        except LabError as error:
            refused += 1
            if not error.message or not (error.hint or error.details) or len(error.message) > 2000:
                failures.append(f"{what}: no hint, or no plain message: {str(error)[:300]!r}")
        except (Exception, _Hangs) as error:  # noqa: BLE001 — that is what is looked for
            failures.append(f"{what}: {type(error).__name__}: {str(error)[:300]} {_where(error)}")
        finally:
            signal.alarm(0)
        spent = _spent() - began
        slowest = max(slowest, spent)
        if spent > SECONDS:
            failures.append(f"{what}: took {spent:.1f} s")
    report = {"name": name, "taken": taken, "refused": refused, "slowest": slowest, "failures": failures}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps(report | {"peak": peak}) + "\n")
    sys.stdout.flush()


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


def _give_up(_signal: int, _frame: object) -> None:
    raise _Hangs
