"""Files of images: copying with progress, patching, deleting, and making them durable before anything relies on them.

Knows: the file system of the host. Must not know: libvirt, plans.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import TextIO

from labkit.errors import AlreadyExists, HostTrouble, NoSpace
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit, OnBytes, unheard
from labkit.storage.plain import open_plain, opened_plain
from labkit.units import MIB

_FICLONE = 0x40049409
_CHUNK = 4 * MIB

_later = ThreadPoolExecutor(max_workers=1, thread_name_prefix="labkit-sync")


@contextmanager
def host_errors(path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors about a file into ours."""
    try:
        yield
    except OSError as error:
        name = Path(path).name
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(
                _("No space left on the host's disk while writing {name}.").format(name=name),
                _("Delete machines you no longer need, or free space on the host; then do it again."),
                details=str(error),
            ) from error
        raise HostTrouble(
            _("{name} cannot be used: {why}.").format(name=name, why=error.strerror or error),
            _("Type ./lab doctor: it looks at the lab's folder."),
            details=str(error),
        ) from error


def make_private_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, private (0700) whatever the umask; existing ones keep their mode.

    Raises:
        HostTrouble, NoSpace: it cannot be made, also because something else is in its place.
    """
    with host_errors(folder):
        for missing in [each for each in (folder, *folder.parents) if not each.exists()][::-1]:
            missing.mkdir(mode=0o700, exist_ok=True)
            missing.chmod(0o700)  # the umask may have taken away permissions that we need
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def close_folder(folder: Path) -> None:
    """Take away all permissions of others on a folder of ours that nobody else is meant to use.

    A link, a folder of somebody else and one with special bits (such as /tmp has) are left as they are.
    """
    with host_errors(folder):
        now = folder.lstat()
        if (
            stat.S_ISDIR(now.st_mode)
            and now.st_uid == os.geteuid()
            and now.st_mode & 0o077
            and not now.st_mode & 0o7000
        ):
            folder.chmod(stat.S_IMODE(now.st_mode) & 0o700)


def copy_file(source: Path, target: Path, *, on_bytes: OnBytes, limit: Limit = NO_LIMIT, reflink: bool = True) -> None:
    """Copy a file with its holes; it shares blocks with the source where the file system can.

    The copy is on the disk, under its name, when this returns; after an error nothing is left of it.

    Raises:
        NoSpace, HostTrouble: it cannot be copied. Cancelled, TimedOut: from the limit.
    """
    with host_errors(source):
        reader = os.fdopen(open_plain(source, follow=True), "rb")
    with reader:
        with host_errors(target):
            writer = target.open("xb")
        try:
            with host_errors(target), writer:
                if not (reflink and _cloned(reader.fileno(), writer.fileno())):
                    _copy_data(reader.fileno(), writer.fileno(), on_bytes, limit)
                os.fsync(writer.fileno())
            sync_folder(target.parent)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def write_padded(path: Path, offset: int, length: int, text: str) -> None:
    """Write a text into a file at a fixed place, padded with zeros to `length` bytes."""
    data = text.encode().ljust(length, b"\0")
    with host_errors(path), path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def is_written(path: Path, offset: int, length: int, text: str) -> bool:
    """Whether `write_padded` has been done."""
    try:
        with opened_plain(path) as file:
            file.seek(offset)
            return file.read(length) == text.encode().ljust(length, b"\0")
    except FileNotFoundError:
        return False


def open_lock(path: Path) -> BufferedWriter:
    """Open a file for locking, making it on first use; a pipe or a link in its place is an error at once."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return open(descriptor, "wb")


def open_draft(path: Path) -> TextIO:
    """Open a new private text file for writing; an old file of its name is removed, since it might be a link."""
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w")


def delete_files(paths: Iterable[str]) -> None:
    """Delete files; it is no error if some are gone already."""
    for path in map(Path, paths):
        with host_errors(path):
            path.unlink(missing_ok=True)


def list_files(*folders: Path) -> list[str]:
    """Return the absolute paths of the files in some folders, sorted; a missing folder has none."""
    return sorted(str(path) for folder in folders for path in folder.glob("*"))


def rename_file(old: Path, new: Path) -> None:
    """Give a file another name in its folder, durably; it may be called again.

    Raises:
        AlreadyExists: both exist, so the new one is somebody else's. HostTrouble: neither exists.
    """
    with host_errors(old):
        if os.path.lexists(new):
            if not os.path.lexists(old):
                return  # it has been done already
            raise AlreadyExists(
                _("{old} cannot be named {new}: another program has put a file of that name there.").format(
                    old=old.name, new=new.name
                ),
                _("Move that file away; then do it again."),
            )
        old.rename(new)
        sync_folder(new.parent)


def freeze_files(paths: Iterable[str]) -> None:
    """Make files read-only (mode 0444) and their content durable: from now on it never changes."""
    for path in map(Path, paths):
        with host_errors(path):
            sync_file(path)
            path.chmod(0o444)


def can_share_blocks(folder: Path) -> bool:
    """Whether a folder's file system lets two files share their blocks until one is written to (reflink)."""
    with host_errors(folder), tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
        one.write(bytes(4096))
        one.flush()
        return _cloned(one.fileno(), other.fileno())


def measure_copy_rate(folder: Path, *, size: int = 8 * 1024 * 1024) -> float:
    """Return how fast a small copy in a folder gets onto the disk, in bytes a second.

    This is an estimate for larger copies: it ignores the host's cache and what others write meanwhile.
    """
    with host_errors(folder), tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
        one.write(os.urandom(size))
        one.flush()
        os.fsync(one.fileno())
        began = time.monotonic()
        _copy_data(one.fileno(), other.fileno(), unheard, NO_LIMIT)
        os.fsync(other.fileno())
        return size / max(time.monotonic() - began, 1e-6)


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free for us on a folder's file system."""
    with host_errors(folder):
        info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize


def sync_file(path: Path) -> None:
    """Make what is in a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_soon(*paths: Path) -> None:
    """Make files and the names in folders durable, in this order, without waiting for it.

    For what may be lost if the power fails within the next moment. Files that are gone by then are passed over.
    """

    def work() -> None:
        for path in paths:
            with suppress(OSError):
                (sync_folder if path.is_dir() else sync_file)(path)

    with suppress(RuntimeError):  # the process is ending: the host writes them by itself
        _later.submit(work)


def _cloned(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


def _copy_data(reader: int, writer: int, on_bytes: OnBytes, limit: Limit) -> None:
    info = os.fstat(reader)
    done, position = 0, 0
    os.ftruncate(writer, info.st_size)
    while position < info.st_size:
        try:
            position = os.lseek(reader, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            raise
        end = os.lseek(reader, position, os.SEEK_HOLE)
        os.lseek(reader, position, os.SEEK_SET)
        os.lseek(writer, position, os.SEEK_SET)
        while position < end:
            limit.check()
            sent = os.sendfile(writer, reader, None, min(_CHUNK, end - position))
            if sent == 0:
                return
            position, done = position + sent, done + sent
            on_bytes(done, info.st_blocks * 512)
