"""Whether a process has an image open: the locks that QEMU and its tools hold on it, seen without any daemon.

QEMU locks bytes 100–299 of every file of a chain that it has open, for what it does with it and for what it lets
others do. One can ask for such a lock without taking it, through a descriptor that may only read, so that this also
answers for frozen images, and disturbs nobody. What QEMU holds on another host is seen where the file system carries
locks to its server; else it is not.

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
    """Return whether a process, of whatever user, has a file open as an image; a file that is not there is not held.

    A file system without locks holds none, and QEMU takes none there.

    Raises:
        HostTrouble: the file cannot be looked into, so it cannot be said.
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
