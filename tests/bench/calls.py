"""Counting the calls to libvirt, through Python's own profiling hook: nothing is replaced.

Knows: the names of libvirt's C functions. Must not know: who calls them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LOCAL = ("virDomainGetUUIDString", "virDomainGetName", "virConnectIsAlive")
"""Functions that answer without asking the daemon."""


class CallCounter:
    """The calls made while it watched, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, _frame: FrameType, event: str, function: Any) -> None:
        """Python's profiling hook."""
        if event == "c_call" and getattr(function, "__module__", None) == "libvirtmod":
            name = function.__name__
            if name.startswith(("virConnect", "virDomain")) and name not in LOCAL:
                self.calls.append(name)


@contextmanager
def count_calls() -> Iterator[CallCounter]:
    """Count the calls to libvirt of all threads that start from now on: open the lab inside."""
    counter = CallCounter()
    threading.setprofile(counter)
    try:
        yield counter
    finally:
        threading.setprofile(None)
