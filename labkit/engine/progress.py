"""The progress of an act as a value; and who shows it while a person waits for a call to return.

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
    """One report of progress.

    Attributes:
        step, steps: the number of the running step, from 1, and of all steps. label: what it does, in words.
        done, total: bytes; total is 0 if not known.
        can_cancel: whether cancelling is still heeded; after the commit point it mostly is not.
    """

    step: int
    steps: int
    label: str
    done: int = 0
    total: int = 0
    can_cancel: bool = True


OnProgress = Callable[[Progress], None]


def of_one_step(on_progress: OnProgress) -> Callable[[int, int], None]:
    """Return a function that turns bytes done and bytes in all into reports of an act with one step and no label."""
    return lambda done, total: on_progress(Progress(step=1, steps=1, label="", done=done, total=total))


Watch: TypeAlias = Callable[[str, int, threading.Event | None], AbstractContextManager[OnProgress | None]]
"""Shows an act while it lasts: title, bytes it copies, the event that cancels it; yields where to report."""

_watches: list[Watch] = []


def watch_with(watch: Watch) -> None:
    """Let `watch` show the acts that are called in this process's main thread; it replaces an earlier one."""
    _watches[:] = [watch]


def watching(
    title: str, bytes_copied: int = 0, *, cancel: threading.Event | None = None
) -> AbstractContextManager[OnProgress | None]:
    """Return what shows an act that was called without `on_progress`; outside the main thread nothing is shown.

    Args:
        cancel: the event that the act heeds and the watcher may set; None: the act cannot be cancelled.
    """
    if not _watches or threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _watches[0](title, bytes_copied, cancel)
