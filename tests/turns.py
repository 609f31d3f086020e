"""Turns among the workers of one run: tests run side by side, but while something is measured the others wait.

Knows: locks on files, which the system lets go of when a worker dies. Must not know: what is measured.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_MEASURES = re.compile(r"\b(?:measure_\w+|throttle|recall|Heartbeat)\(")


def measures(item: pytest.Item) -> bool:
    """Whether it compares speeds: a test marked `alone`, or a cell that calls `measure_…`, `throttle` or `recall`."""
    cell = getattr(item, "cell", None)
    return item.get_closest_marker("alone") is not None or (cell is not None and bool(_MEASURES.search(cell.source)))


@contextmanager
def take_turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold a turn: beside others, or alone. Who waits to be alone stands in the door, so that nobody else gets in."""
    with ExitStack() as stack:
        door, room = (stack.enter_context((folder / name).open("w")) for name in ("door", "room"))
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
