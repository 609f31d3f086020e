"""Guests that are kept booted, by kind of machine, in the data folder; a new machine of a kind goes on from one.

Whoever wakes a machine holds a kind's folder meanwhile; whoever removes or exchanges that folder waits for them. Guests
that map a file which is removed keep what they have mapped.

Knows: the data folder, seals. Must not know: how a guest is kept, or woken.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit.engine import mapping, seals
from labkit.engine.as_made import kept_folder
from labkit.errors import LabError
from labkit.hypervisor.kinds import machine_part
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import GuestImage
from labkit.model.kept import KeptGuest
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.files import make_private_folder, open_lock
from labkit.units import KIB

MOST_KINDS = 4
"""Of so many kinds a guest is kept; those used last stay. Of each is kept what its memory and its disk hold."""

_TOLD = "kept.json"
_MOST_TOLD = 4 * KIB
_LOOK = 0.05  # seconds between two tries to get a lock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What stands in a kind's folder about it: the image's name and file, QEMU's name for the memory and its bytes."""

    image: str
    disk: str
    block: str
    length: int


def find_kept(folder: Path) -> KeptGuest | None:
    """Return the guest that is kept in a folder, if it is ours and all of it is what it was when it was made."""
    told = _read(folder)
    if told is None:
        return None
    kept = KeptGuest(folder=str(folder), image=told.image, block=told.block, length=told.length)
    disk, written, pages = Path(kept.disk), Path(kept.written), Path(kept.pages)
    try:
        whole = (
            {disk.name, written.name} <= seals.find_seals(disk.parent).keys()
            and not seals.find_changed(disk.parent, [kept.disk, kept.written])
            and disk.is_file()
            and written.is_file()
            and mapping.is_whole(Path(kept.memory))
            and pages.stat().st_size == kept.length
        )
    except (LabError, OSError):
        return None
    return kept if whole else None


def why_not_kept(folder: Path) -> str | None:
    """Return why machines of a kind do not go on from what is kept, a sentence; None: they do, or nothing is kept.

    What other programs ran, another QEMU or another CPU, is of another kind, and is never used.
    """
    if os.path.lexists(folder):
        if not _is_ours(folder):
            sentence = _("{folder} is not yours alone, so that others may have changed what is kept in it.")
            return sentence.format(folder=folder)
        return None if find_kept(folder) else _("what is kept of it is not what it was when it was made.")
    machine = machine_part(folder.name)
    if any(machine_part(path.name) == machine for path in list_kept()):
        return _("what is kept of it was made by another QEMU or libvirt, or on another CPU.")
    return None


def write_told(folder: Path, image: GuestImage, *, block: str, length: int) -> None:
    """Write what is known of a guest that is kept; this is done last."""
    told = {"image": image.name, "disk": Path(os.path.realpath(image.disk)).name, "block": block, "length": length}
    (folder / _TOLD).write_text(json.dumps(told))


def list_kept() -> dict[Path, str]:
    """Return the folders in which guests are kept, and the guest images that they came from; those used last first."""
    found = {path: told.image for path in _folders() if (told := _read(path))}
    return dict(sorted(found.items(), key=lambda each: -_used(each[0])))


def bytes_kept() -> int:
    """Return how much room the host gives to all kept guests."""
    total = 0
    for path in kept_folder().rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total


def note_use(kept: KeptGuest) -> None:
    """Note that a guest was used just now."""
    with contextlib.suppress(OSError):
        os.utime(kept.folder)


def tidy(images: Mapping[str, GuestImage]) -> None:
    """Remove guests of images that are gone or were built again, those that were not used for longest, and drafts."""
    current = {Path(os.path.realpath(image.disk)).name for image in images.values()}
    stays = []
    for folder in [*list_kept()]:
        told = _read(folder)
        if told is None or told.disk not in current:
            remove(folder)
        else:
            stays.append(folder)
    for folder in stays[MOST_KINDS:]:
        remove(folder)
    for draft in kept_folder().glob(".making-*"):
        with making(draft.name.removeprefix(".making-")) as mine:
            if mine:
                shutil.rmtree(draft, ignore_errors=True)


def remove(folder: Path) -> bool:
    """Remove a kept guest; returns whether it is gone. Nobody is being woken from it then."""
    if folder.is_symlink():  # it leads to what is not ours
        folder.unlink(missing_ok=True)
    try:
        with holding(folder, exclusive=True):
            shutil.rmtree(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_all() -> bool:
    """Remove all kept guests; returns whether there were any."""
    there = bool(_folders())
    for folder in _folders():
        remove(folder)
    if all(path.suffix == ".lock" for path in kept_folder().glob("*")):
        shutil.rmtree(kept_folder(), ignore_errors=True)
    return there


@contextmanager
def holding(folder: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Hold a kept guest: it stays in its place during the block, or, exclusively, nobody is being woken from it.

    Raises:
        OSError: there is none.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def making(kind: str, limit: Limit | None = None) -> Iterator[bool]:
    """Become the one that makes the guest of a kind; yields whether that is so.

    Args:
        limit: how long to wait for another one that is making it; None: not at all.

    Raises:
        Cancelled, TimedOut: from the limit.
    """
    make_private_folder(kept_folder())
    with open_lock(kept_folder() / f"{kind}.lock") as lock:
        while not (mine := _is_mine(lock.fileno())) and limit is not None:
            limit.check()
            time.sleep(_LOOK)
        yield mine


def _is_mine(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folders() -> list[Path]:
    try:
        return [path for path in kept_folder().iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def _used(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _read(folder: Path) -> _Told | None:
    """What stands in a kind's folder, if that is ours alone."""
    try:
        return read_json(folder / _TOLD, _Told, most=_MOST_TOLD) if _is_ours(folder) else None
    except (OSError, Damaged):
        return None


def _is_ours(folder: Path) -> bool:
    """Whether a folder is one, this user's, and nobody else may write to it."""
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022
