"""Whether a process has an image open, by the locks that QEMU and its tools hold on it; no daemon is needed.

QEMU locks bytes 100–299 of every file of a chain that it has open: for what it does with the file and for what others
may not do. One can ask for such a lock without taking it, and a read-only descriptor is enough. So this also works for
frozen images, and disturbs nobody. A QEMU on another host is seen only if the file system passes locks on to its
server.

Source: QEMU, `block/file-posix.c` (RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE). Knows: locks of files. Must not know:
whose image it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from labkit.storage.files import host_errors

_FLOCK = struct.Struct("hhqqi4x")
"""The C `struct flock` of 64-bit Linux: type, whence, start, length, process."""

_FIRST, _BYTES = 100, 200
_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


def is_held(path: str | Path) -> bool:
    """Return whether a process of any user has a file open as an image; a missing file is not held.

    On a file system without locks the answer is no, since QEMU takes none there.

    Raises:
        HostTrouble: the file cannot be opened, so the question cannot be answered.
    """
    with host_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST, _BYTES, 0)
            found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
        except OSError as error:
            if error.errno in _NO_LOCKS_HERE:
                return False
            raise
        finally:
            os.close(descriptor)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
