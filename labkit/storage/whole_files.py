"""Small files that say what a lab is: read within bounds, written whole or not at all.

Knows: files. Must not know: what is in them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from labkit.storage.files import sync_folder


def read_bounded(path: Path, most: int) -> bytes:
    """Return what is in a plain file, which another program may have put there.

    Raises:
        OSError: the host's. ValueError: it is no plain file, or has more than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > most:
            raise ValueError("not a plain file of this size")
        return file.read(most)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, durably, for us alone."""
    draft = path.with_name(f"{path.name}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def free_name(path: Path, ending: str) -> Path:
    """Return a name beside a file that is not taken: what was put aside before is never overwritten."""
    names = (path.with_name(f"{path.name}.{number}.{ending}") for number in range(1, 10_000))
    return next(name for name in names if not os.path.lexists(name))
