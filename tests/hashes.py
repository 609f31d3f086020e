"""The hash of what is in a file; nothing is read twice that nobody has written to since, and no zeros.

Knows: what the system says of a file at each change of it (its inode, and the times that no program can put back).
Must not know: what the file is of.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_SETTLED = 100_000_000
"""Nanoseconds after which another change of a file shows in its times, however coarse the system's clock for them."""

_known: dict[tuple[str, int, int, int, int, int], str] = {}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    info = path.stat()
    key = (str(path), info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    if key in _known:
        return _known[key]
    settled = time.time_ns() - info.st_ctime_ns > _SETTLED
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if settled:
        _known[key] = digest
    return digest


_PAGE = 4096


def hash_data(path: Path) -> str:
    """Return a hash of a file's length and of all that is not zero in it, with its place: of a large one little is."""
    digest, nothing = hashlib.sha256(), bytes(_PAGE)
    with path.open("rb", buffering=0) as file:
        digest.update(str(os.fstat(file.fileno()).st_size).encode())
        done = 0
        for begin, end in _find_data(file.fileno()):
            for place in range(max(done, begin - begin % _PAGE), end, _PAGE):
                page = os.pread(file.fileno(), _PAGE, place)
                if page != nothing[: len(page)]:
                    digest.update(place.to_bytes(8, "big") + page)
                done = place + _PAGE
    return digest.hexdigest()


def _find_data(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield the regions of a file that are no holes, in order."""
    end = 0
    while True:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there is no more
                return
            raise
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, end
