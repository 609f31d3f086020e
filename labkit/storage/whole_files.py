"""Small files with the data of a lab, written whole or not at all. They are read through `bounded.py`.

Knows: files. Must not know: what is in them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path

from labkit.storage.files import open_draft, sync_folder

_NO_SECOND_NAMES = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""The errors of file systems without hard links."""


def write_whole(path: Path, text: str) -> None:
    """Write a private file whole or not at all, durably."""
    draft = path.with_name(f"{path.name}.part")
    try:
        with open_draft(draft) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a new private file whole and durably; if several processes try, only one succeeds.

    Raises:
        FileExistsError: another was first. OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")  # its mode is 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_new(draft, path)
    finally:
        draft.unlink(missing_ok=True)
        sync_folder(path.parent)


def put_new(draft: Path, path: Path) -> None:
    """Give a completely written file its name if no file has it yet; the draft may be left over, or gone.

    Only one of several processes can make a hard link of that name, however many computers see the folder. FAT and
    exFAT have no hard links; but only one computer sees a stick, so there a lock on the folder decides who is first.

    Raises:
        FileExistsError: another was first. OSError: it cannot be done.
    """
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_SECOND_NAMES:
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            os.rename(draft, path)
        finally:
            os.close(folder)


def free_name(path: Path, ending: str) -> Path:
    """Return a free name beside a file, so that what was put aside before is never overwritten."""
    names = (path.with_name(f"{path.name}.{number}.{ending}") for number in range(1, 10_000))
    return next(name for name in names if not os.path.lexists(name))
