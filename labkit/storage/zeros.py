"""Zeros written into a file's holes, so that the host has really allocated every byte of it.

Knows: one file. Must not know: formats.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from labkit.limits import NO_LIMIT, Limit, OnBytes
from labkit.storage.files import host_errors
from labkit.units import MIB

_ZEROS = memoryview(bytes(4 * MIB))
_SYNC_EVERY = 64 * MIB  # so that progress shows what is on the disk, and cancelling is quick


def fill_holes(path: Path, on_bytes: OnBytes, limit: Limit = NO_LIMIT) -> None:
    """Write zeros into every hole of a file; its data and its length stay as they are.

    It is safe only while nobody else writes to the file. Everything is on the disk when it returns; after an error the
    file reads as before.

    Raises:
        NoSpace, HostTrouble: it cannot be written. Cancelled, TimedOut: from the limit.
    """
    with host_errors(path), path.open("r+b", buffering=0) as file:
        holes = list(find_holes(file.fileno()))
        total = sum(end - start for start, end in holes)
        done = synced = 0
        for start, end in holes:
            position = start
            while position < end:
                limit.check()
                written = os.pwrite(file.fileno(), _ZEROS[: end - position], position)
                position, done = position + written, done + written
                if done - synced >= _SYNC_EVERY:
                    os.fdatasync(file.fileno())
                    synced = done
                on_bytes(done, total)
        os.fsync(file.fileno())


def find_holes(file: int) -> Iterator[tuple[int, int]]:
    """Yield the holes of an open file as (start, end), in bytes."""
    size, position = os.fstat(file).st_size, 0
    while position < size:
        start = os.lseek(file, position, os.SEEK_HOLE)
        if start >= size:
            return
        try:
            position = os.lseek(file, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            position = size  # only a hole is left
        yield start, position
