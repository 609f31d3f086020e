"""Seals of what never changes any more: frozen images and the memory that snapshots keep, as they were then.

    home/seals.json     {"web.vda.0.qcow2": {"size": …, "mtime_ns": …, "sha256": …}, "web.0.mem": …, …}

A frozen image that another tool has written to would give every state above it another content, and nothing
else would notice. Where only its time differs (a lab copied, or brought back from a backup) the seal heals.
Whoever takes care to put the time back is found by `verification` alone, which reads every file whole.
Knows: files. Must not know: libvirt, plans, what depends on an image.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from labkit.errors import LabError
from labkit.language import _
from labkit.model.mapped import DEVICES, PAGES
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.files import host_errors, open_draft, open_lock, sync_folder, sync_soon
from labkit.storage.plain import opened_plain
from labkit.units import GIB, MIB

HASH_AT_ONCE = 4 * MIB
"""Bytes up to which an image is hashed when it freezes, while the act waits."""

HASH_SOON = 4 * GIB
"""Bytes up to which a file is hashed after the act; larger ones are known by size and time until they are verified."""

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM)
"""Errors that say nothing of a file's content: what cannot be read just now is not torn."""

UNKNOWN_TIME = -1
"""The time in a seal of a file that was found to hold something else: it is looked at again each time."""

SETTLED = 100_000_000
"""Nanoseconds a file must have been left alone before what was found out about it is remembered."""

_MEMORY = (".mem", f".mem{PAGES}", f".mem{DEVICES}")

MOST_SEALS = 32 * MIB
"""Bytes of all seals of a lab together."""

_KEYS = dict.fromkeys(("size", "mtime_ns", "sha256")).keys()
_later = ThreadPoolExecutor(max_workers=1, thread_name_prefix="labkit-seals")
_judged: dict[tuple[str | int | None, ...], bool] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a file was: bytes, nanoseconds since 1970, and the hash of its bytes (None: not yet, or too large)."""

    size: int
    mtime_ns: int
    sha256: str | None

    def is_of(self, info: os.stat_result) -> bool:
        """Whether a file looks as it did: size and time; its content is not read."""
        return (info.st_size, info.st_mtime_ns) == (self.size, self.mtime_ns)

    @property
    def waits(self) -> bool:
        """Whether its hash is still to be made."""
        return self.sha256 is None and self.size <= HASH_SOON


def seal(paths: Iterable[str], *, only_new: bool = False) -> None:
    """Seal files of one lab, images or memory, as they are now.

    Args:
        only_new: leave the seals alone that there are.
    """
    files = [Path(path) for path in paths]
    if not files:
        return
    with _open(files[0].parent) as seals:
        for file in files:
            if not only_new or file.name not in seals:
                seals[file.name] = _look(file)
        waits = any(seal.waits for seal in seals.values())
    if waits:
        _complete_later(files[0].parent)


def break_seals(paths: Iterable[str]) -> None:
    """Take the seals from files of one lab that are about to be rewritten, or were deleted.

    Until they are sealed again nothing is held against them, whatever interrupts the rewriting.
    """
    files = [Path(path) for path in paths]
    if files and any(file.name in _read(_place(files[0].parent)) for file in files):
        # An older seal must not come back once an image was rewritten.
        with _open(files[0].parent, lasting=True) as seals:
            for file in files:
                seals.pop(file.name, None)


def find_seals(folder: Path) -> dict[str, Seal]:
    """Return the seals of a lab's folder of disks by file name; those of vanished files too."""
    with suppress(LabError):  # to look at a lab they are not needed
        return _read(_place(folder))
    return {}


def hash_file(path: Path) -> str:
    """Return the hash of a file's bytes, as seals hold it."""
    with host_errors(path):
        return _hash(path)


def are_torn(folder: Path) -> bool:
    """Whether the seals of a folder of disks are there and cannot be read."""
    place = _place(folder)
    return place.exists() and _parse(place) is None


def seal_anew(folder: Path, paths: Iterable[str]) -> None:
    """Forget all seals of a folder of disks and seal these images as they are now."""
    with host_errors(_place(folder)):
        _place(folder).unlink(missing_ok=True)
    seal(paths)


def complete(folder: Path, *, largest: int = HASH_SOON) -> None:
    """Make the hashes that are still missing from the seals beside a folder of disks.

    Args:
        largest: bytes of a file that is worth the time.
    """
    for name, old in _read(_place(folder)).items():
        file = file_of(folder, name)
        with suppress(FileNotFoundError):
            if old.sha256 is not None or old.size > largest or not old.is_of(file.stat()):
                continue
            new = replace(old, sha256=_hash(file))
            if not old.is_of(file.stat()):
                continue  # somebody wrote to it meanwhile: what was hashed is not what was sealed
            exchange(folder, name, old, new)


def find_changed(folder: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some frozen files that are no longer what they were; seals with another time heal.

    Args:
        folder: the lab's folder of disks. paths: absolute; those that are gone, or were never sealed, are passed over.
    """
    known = _read(_place(folder))
    if any(seal.waits for seal in known.values()):
        _complete_later(folder)
    changed: list[str] = []
    for path in map(Path, paths):
        old = known.get(path.name)
        try:
            info = os.stat(path)
        except FileNotFoundError:
            continue
        if old is None or old.is_of(info):
            continue
        if _holds_the_same(path, old, info):
            with suppress(LabError):  # where nothing can be written, it is looked at again the next time
                exchange(folder, path.name, old, replace(old, mtime_ns=info.st_mtime_ns))
        else:
            changed.append(str(path))
    return changed


def exchange(folder: Path, name: str, old: Seal, new: Seal) -> None:
    """Put a seal in the place of another, if that is still the one there."""
    with _open(folder) as seals:
        if seals.get(name) == old:
            seals[name] = new


def file_of(folder: Path, name: str) -> Path:
    """Return the file that a seal is of.

    Args:
        folder: the lab's folder of disks. name: as the seals have it.
    """
    return (folder.parent / "memory" if name.endswith(_MEMORY) else folder) / name


def _holds_the_same(path: Path, old: Seal, info: os.stat_result) -> bool:
    """Whether a file's content is what was sealed although it looks otherwise; read once for each change of it."""
    if info.st_size != old.size or old.sha256 is None:
        return False
    key = (str(path), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, old.sha256)
    if key in _judged:
        return _judged[key]
    try:
        same = _hash(path) == old.sha256 and (info.st_mtime_ns, info.st_size) == _mark(path)
    except OSError:
        return False  # what cannot be read proves nothing
    if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > SETTLED:
        _judged[key] = same
    return same


def _mark(path: Path) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_mtime_ns, info.st_size


def _complete_later(folder: Path) -> None:
    def work() -> None:
        with suppress(OSError, LabError):  # the lab may just be cleaned
            complete(folder)

    with suppress(RuntimeError):  # the process is ending
        _later.submit(work)


@contextmanager
def _open(folder: Path, *, lasting: bool = False) -> Iterator[dict[str, Seal]]:
    """The seals to change, alone; written whole or not at all. Those of vanished files stay: they prove a copy.

    Args:
        lasting: whether what is written outlives a power cut from here on, and not only a moment later.
    """
    place = _place(folder)
    with host_errors(place), open_lock(place.with_suffix(".lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seals = _read(place)
        before = dict(seals)
        yield seals
        if seals == before and place.exists():
            return
        left = {name: asdict(each) for name, each in sorted(seals.items())}
        draft = place.with_suffix(".part")
        try:
            with open_draft(draft) as file:
                json.dump(left, file, indent=1)
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
            draft.replace(place)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        if lasting:
            sync_folder(place.parent)
        else:
            sync_soon(place, place.parent)


def _place(folder: Path) -> Path:
    return folder.parent / "seals.json"


def _read(place: Path) -> dict[str, Seal]:
    return _parse(place) or {}  # without a seal nothing is known, and nothing is held against a file


def _parse(place: Path) -> dict[str, Seal] | None:
    """The seals that are written down; None: there are none, or they cannot be read."""
    try:
        info = place.stat()
        key = (place, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if time.time_ns() - info.st_mtime_ns < SETTLED:  # what is written next may bear the same time
            return _load(place)
        return dict(_load_once(*key))
    except OSError as error:
        if error.errno not in _PASSING:
            return None  # there are none, or what has their name is no file
        with host_errors(place):
            raise
    except Damaged:
        return None


@lru_cache(maxsize=8)
def _load_once(place: Path, *_version: int) -> dict[str, Seal]:
    return _load(place)


def _load(place: Path) -> dict[str, Seal]:
    data = read_json(place, object, most=MOST_SEALS)
    if not isinstance(data, dict):
        raise Damaged(_("it is not a table"))
    return {name: _make(values) for name, values in data.items()}


def _make(values: object) -> Seal:
    """A seal from what stands in the file; by hand, since each look at a lab reads them."""
    if not isinstance(values, dict) or values.keys() != _KEYS:
        raise Damaged(_("it holds something else than it should"))
    size, mtime_ns, sha256 = (values[key] for key in _KEYS)
    if type(size) is not int or type(mtime_ns) is not int or (sha256 is not None and type(sha256) is not str):
        raise Damaged(_("it holds something else than it should"))
    return Seal(size=size, mtime_ns=mtime_ns, sha256=sha256)


def _look(file: Path) -> Seal:
    info = file.stat()
    digest = _hash(file) if info.st_size <= HASH_AT_ONCE else None
    return Seal(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=digest)


def _hash(file: Path) -> str:
    with opened_plain(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
