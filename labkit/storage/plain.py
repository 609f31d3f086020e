"""The one way to open a file that anyone may have put in its place: plain files are opened, anything else is an error.

A pipe would make the reader wait for ever, a device may act when it is opened, a link leads elsewhere. So a file is
opened without waiting, and then the opened file itself is checked, not what had the name before.
Knows: the host's files. Must not know: what is in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from labkit.language import _

_MODE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_LEAST = 1 << 16
"""Bytes that are read at least of a file that says that it is shorter, as those of the kernel do."""


class NotPlain(OSError):
    """It is a folder, a pipe, a device, a socket or a link; `strerror` says which."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EINVAL, _("it is no plain file"), str(path))


def open_plain(path: str | Path, *, follow: bool = False) -> int:
    """Return a descriptor of a plain file opened for reading, which the caller closes. This never waits.

    Args:
        follow: whether the file may be reached through a link; in a lab's folder it may not.

    Raises:
        NotPlain: it is something else. OSError: it cannot be opened (for instance FileNotFoundError).
    """
    try:
        file = os.open(path, _MODE if follow else _MODE | os.O_NOFOLLOW)
    except ValueError as error:  # a NUL, or half a character, in its name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), repr(path)) from error
    except OSError as error:
        if (error.errno == errno.ELOOP and not follow) or error.errno in (errno.ENXIO, errno.ENODEV):
            raise NotPlain(path) from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotPlain(path)
    return file


@contextmanager
def opened_plain(path: str | Path, *, follow: bool = False) -> Iterator[BufferedReader]:
    """Open a plain file for reading as `open_plain` does, and close it at the end of the block.

    Raises:
        As `open_plain`.
    """
    with os.fdopen(open_plain(path, follow=follow), "rb") as file:
        yield file


def read_plain(path: str | Path, most: int, *, follow: bool = False) -> bytes:
    """Return the first bytes of a plain file, at most `most`.

    Raises:
        As `open_plain`.
    """
    with opened_plain(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size  # room is made for all that is asked for, whether it comes or not
        return file.read(min(most, max(size + 1, _LEAST)))


def hash_plain(path: str | Path, *, follow: bool = False) -> str:
    """Return the SHA-256 of a plain file's bytes, as hexadecimal digits.

    Raises:
        As `open_plain`; OSError: it cannot be read.
    """
    with opened_plain(path, follow=follow) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
