"""Locks of a lab: one that is held briefly to begin an act, and one for each machine and disk for the long work.

They are locks of open files (`F_OFD_SETLK`), so they end with the process that holds them and the children that inherit
them. One can ask for them without taking them, so readers are in nobody's way. Acts hold a machine's lock exclusively;
switching a guest shares it.

Knows: lock files. Must not know: what they guard.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from labkit.errors import Busy
from labkit.language import _
from labkit.storage.files import host_errors
from labkit.storage.plain import open_plain

LAB_WAIT = 20.0
"""Seconds to wait for the lab's lock."""

_FLOCK = struct.Struct("hhqqi4x")
"""The C `struct flock` of 64-bit Linux: type, whence, start, length, process."""


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


def _open(path: Path) -> int:
    with host_errors(path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _look_at(path: Path) -> int:
    """Open a lock only to ask whether it is held; that needs no permission to write."""
    try:
        return open_plain(path)
    except FileNotFoundError:
        raise
    except OSError:
        with host_errors(path):
            raise


@contextmanager
def lab_lock(folder: Path, *, timeout: float = LAB_WAIT) -> Iterator[None]:
    """Hold the lab's lock, waiting for others to release it."""
    descriptor = _open(folder.parent / "lock")
    try:
        end = time.monotonic() + timeout
        while not _try(descriptor, fcntl.F_WRLCK):
            if time.monotonic() > end:
                raise Busy(
                    _("Another kernel has been planning in this lab for {seconds:g} s.").format(seconds=timeout),
                    _("Wait, or restart that kernel."),
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


class MachineLocks:
    """The locks of some machines, held until `release`; children may inherit `descriptors`."""

    def __init__(self, folder: Path, names: Iterable[str], *, shared: bool = False) -> None:
        self.descriptors: list[int] = []
        try:
            for name in sorted(set(names)):
                descriptor = _open(_lock_file(folder, name))
                self.descriptors.append(descriptor)
                if not _try(descriptor, fcntl.F_RDLCK if shared else fcntl.F_WRLCK):
                    raise Busy(
                        _("Another act is at work on {name}.").format(name=name),
                        _("Wait until it has ended, or cancel it where it runs."),
                    )
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release all of them."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()


def every_lock(folder: Path) -> list[str]:
    """Return the names of all locks that were ever taken."""
    return [path.stem for path in folder.glob("*.lock")]


def find_busy(folder: Path, names: Iterable[str]) -> frozenset[str]:
    """Return which of these machines an act holds, in this or another process."""
    busy = set()
    for name in names:
        try:
            descriptor = _look_at(_lock_file(folder, name))
        except FileNotFoundError:
            continue  # nobody ever took it
        try:
            if _is_in_the_way(descriptor, fcntl.F_RDLCK):
                busy.add(name)
        finally:
            os.close(descriptor)
    return frozenset(busy)


def is_locked(folder: Path, name: str) -> bool:
    """Return whether anybody holds a machine's lock, exclusively or shared."""
    try:
        descriptor = _look_at(_lock_file(folder, name))
    except FileNotFoundError:
        return False  # nobody ever took it
    try:
        return _is_in_the_way(descriptor, fcntl.F_WRLCK)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(kind))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_in_the_way(descriptor: int, kind: int) -> bool:
    """Whether somebody holds a lock that conflicts with one of this kind."""
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(kind))
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _whole_file(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
