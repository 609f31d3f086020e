"""How far an act is, as a value; and who looks on where a person called it and waits.

Knows: numbers. Must not know: who shows them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report.

    Attributes:
        step, steps: the running step, counted from 1, of how many. label: what it does, in words.
        done, total: bytes; total is 0 where it is not known.
        can_cancel: whether it heeds a cancel from here on; behind the point of no return it does not.
    """

    step: int
    steps: int
    label: str
    done: int = 0
    total: int = 0
    can_cancel: bool = True


OnProgress = Callable[[Progress], None]


def of_one_step(on_progress: OnProgress) -> Callable[[int, int], None]:
    """Return what turns (bytes done, in all) into reports of an act that has one step and nothing to say of it."""
    return lambda done, total: on_progress(Progress(step=1, steps=1, label="", done=done, total=total))


Watch: TypeAlias = Callable[[str, int, threading.Event | None], AbstractContextManager[OnProgress | None]]
"""Shows an act from its beginning to its end, by its title, the bytes it copies and what cancels it; yields what it
reports to."""

_watches: list[Watch] = []


def watch_with(watch: Watch) -> None:
    """Let `watch` show the acts that are called in this process's main thread, instead of who did so before."""
    _watches[:] = [watch]


def watching(
    title: str, bytes_copied: int = 0, *, cancel: threading.Event | None = None
) -> AbstractContextManager[OnProgress | None]:
    """Return who looks on while an act called plainly is carried out; nobody outside the main thread.

    Args:
        cancel: what the act heeds, and who looks on may set; None: it heeds nothing.
    """
    if not _watches or threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _watches[0](title, bytes_copied, cancel)
