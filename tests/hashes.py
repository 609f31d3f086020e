"""The hash of what is in a file; nothing is read twice that nobody has written to since.

Knows: what the system says of a file at each change of it (its inode, and the times that no program can put back).
Must not know: what the file is of.
"""

from __future__ import annotations

import hashlib
import time
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
