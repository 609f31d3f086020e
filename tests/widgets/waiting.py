"""Waiting for something that another thread brings about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STEP = 0.02


def eventually(what: Callable[[], object], *, seconds: float = 60) -> None:
    """Return as soon as `what()` is true; fail when it has not become so in time."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        pause.wait(STEP)
