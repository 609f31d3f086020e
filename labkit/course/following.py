"""Following the student's files: whoever shows how far they are hears when something was answered, begun or done.

Another kernel writes them, too, or `labkit course`, so the files are looked at, not who writes.

Knows: files and their times. Must not know: what stands in them, panels.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

LOOK_SECONDS = 1.0
"""Seconds between two looks while somebody has it on screen."""


class Follower(Protocol):
    """Who wants to hear of changes."""

    @property
    def is_shown(self) -> bool:
        """Whether somebody has it on screen."""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""

    def follow_change(self) -> None:
        """Called after a change, on a thread of its own; must raise nothing."""


def follow(follower: Follower, files: Callable[[], list[Path]]) -> None:
    """Tell a follower of changes in some files, until it is closed or nobody holds it any more.

    Args:
        files: returns which there are now; folders count by their entries.
    """
    thread = threading.Thread(
        target=_watch, args=(weakref.ref(follower), files, _look(files)), name="labkit course: following", daemon=True
    )
    thread.start()


def _watch(held: weakref.ref[Follower], files: Callable[[], list[Path]], before: object) -> None:
    pause = threading.Event()
    while not pause.wait(LOOK_SECONDS):
        follower = held()
        if follower is None or follower.is_closed:
            return
        if follower.is_shown and (now := _look(files)) != before:
            before = now
            follower.follow_change()
        del follower


def _look(files: Callable[[], list[Path]]) -> list[tuple[str, int, int]]:
    """Return what is known of each file without opening it; one that goes away meanwhile is not there."""
    found = []
    for path in files():
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_ino))
    return found
