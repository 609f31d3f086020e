"""Seals of files that must not change any more: what frozen images and the memory of snapshots were when they froze.

    home/seals.json     {"web.vda.0.qcow2": {"size": …, "mtime_ns": …, "sha256": …}, "web.0.mem": …, …}

If another tool writes to a frozen image, the content of every state above it changes, and nothing else would notice. If
only the time differs (a lab copied, or brought back from a backup) the seal *heals*. A change whose time was put back
is found only by `verification`, which reads every file whole.
Knows: files. Must not know: libvirt, plans, what depends on an image.
"""

from __future__ import annotations

import errno
import fcntl
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
from labkit.storage.plain import hash_plain
from labkit.units import GIB, MIB

HASH_AT_ONCE = 4 * MIB
"""Up to this many bytes an image is hashed when it freezes, while the act waits."""

HASH_SOON = 4 * GIB
"""Up to this many bytes a file is hashed after the act; larger ones have only size and time until they are verified."""

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM)
"""Errors that say nothing about a file's content: the file cannot be read just now, but it is not torn."""

UNKNOWN_TIME = -1
"""The time in the seal of a file that was found changed, so that the file is checked again each time."""

SETTLED = 100_000_000
"""Nanoseconds that a file must be unchanged before results about it are cached."""

_MEMORY = (".mem", f".mem{PAGES}", f".mem{DEVICES}")

MOST_SEALS = 32 * MIB
"""The most bytes of all seals of a lab together."""

_KEYS = dict.fromkeys(("size", "mtime_ns", "sha256")).keys()
_later = ThreadPoolExecutor(max_workers=1, thread_name_prefix="labkit-seals")
_judged: dict[tuple[str | int | None, ...], bool] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a file was: bytes, modification time in ns since 1970, and hash (None: not yet, or too large)."""

    size: int
    mtime_ns: int
    sha256: str | None

    def is_of(self, info: os.stat_result) -> bool:
        """Whether a file has the sealed size and time; its content is not read."""
        return (info.st_size, info.st_mtime_ns) == (self.size, self.mtime_ns)

    @property
    def waits(self) -> bool:
        """Whether its hash is still to be computed."""
        return self.sha256 is None and self.size <= HASH_SOON


def seal(paths: Iterable[str], *, only_new: bool = False) -> None:
    """Seal files of one lab, images or memory, as they are now.

    Args:
        only_new: keep existing seals.
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
    """Remove the seals of files of one lab that are about to be rewritten, or were deleted.

    Until they are sealed again no change of them counts, even if the rewriting is interrupted.
    """
    files = [Path(path) for path in paths]
    if files and any(file.name in _read(_place(files[0].parent)) for file in files):
        # After a power cut, an old seal must not come back once the image was rewritten.
        with _open(files[0].parent, lasting=True) as seals:
            for file in files:
                seals.pop(file.name, None)


def find_seals(folder: Path) -> dict[str, Seal]:
    """Return the seals of a lab's folder of disks by file name, including those of vanished files."""
    with suppress(LabError):  # a lab can be read without them
        return _read(_place(folder))
    return {}


def are_torn(folder: Path) -> bool:
    """Whether the seals of a folder of disks exist but cannot be read."""
    place = _place(folder)
    return place.exists() and _parse(place) is None


def seal_anew(folder: Path, paths: Iterable[str]) -> None:
    """Drop all seals of a folder of disks and seal these files as they are now."""
    with host_errors(_place(folder)):
        _place(folder).unlink(missing_ok=True)
    seal(paths)


def complete(folder: Path, *, largest: int = HASH_SOON) -> None:
    """Compute the hashes that are still missing from the seals of a folder of disks.

    Args:
        largest: the most bytes of a file that is hashed.
    """
    for name, old in _read(_place(folder)).items():
        file = file_of(folder, name)
        with suppress(FileNotFoundError):
            if old.sha256 is not None or old.size > largest or not old.is_of(file.stat()):
                continue
            new = replace(old, sha256=hash_plain(file))
            if not old.is_of(file.stat()):
                continue  # it was written to meanwhile: the hash is not that of the sealed content
            exchange(folder, name, old, new)


def find_changed(folder: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some frozen files that are no longer what they were; where only the time differs, the seal heals.

    Args:
        folder: the lab's folder of disks. paths: absolute; files that are gone or were never sealed are skipped.
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
            with suppress(LabError):  # if nothing can be written, it is checked again the next time
                exchange(folder, path.name, old, replace(old, mtime_ns=info.st_mtime_ns))
        else:
            changed.append(str(path))
    return changed


def exchange(folder: Path, name: str, old: Seal, new: Seal) -> None:
    """Replace a seal by another, if it is still the one given."""
    with _open(folder) as seals:
        if seals.get(name) == old:
            seals[name] = new


def file_of(folder: Path, name: str) -> Path:
    """Return the file that a seal belongs to.

    Args:
        folder: the lab's folder of disks. name: as in the seals.
    """
    return (folder.parent / "memory" if name.endswith(_MEMORY) else folder) / name


def _holds_the_same(path: Path, old: Seal, info: os.stat_result) -> bool:
    """Whether a file's content is what was sealed although size or time differ; read once for each change."""
    if info.st_size != old.size or old.sha256 is None:
        return False
    key = (str(path), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, old.sha256)
    if key in _judged:
        return _judged[key]
    try:
        same = hash_plain(path) == old.sha256 and (info.st_mtime_ns, info.st_size) == _mark(path)
    except OSError:
        return False  # an unreadable file proves nothing
    if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > SETTLED:
        _judged[key] = same
    return same


def _mark(path: Path) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_mtime_ns, info.st_size


def _complete_later(folder: Path) -> None:
    def work() -> None:
        with suppress(OSError, LabError):  # the lab may just be being cleaned
            complete(folder)

    with suppress(RuntimeError):  # the process is ending
        _later.submit(work)


@contextmanager
def _open(folder: Path, *, lasting: bool = False) -> Iterator[dict[str, Seal]]:
    """Yield the seals to change, locked; written whole or not at all. Those of vanished files stay: they prove a copy.

    Args:
        lasting: whether what is written must be durable at once, and not only a moment later.
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
    return _parse(place) or {}  # without a seal a file counts as unchanged


def _parse(place: Path) -> dict[str, Seal] | None:
    """The stored seals; None if there are none, or they cannot be read."""
    try:
        info = place.stat()
        key = (place, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if time.time_ns() - info.st_mtime_ns < SETTLED:  # a later write may leave the same time
            return _load(place)
        return dict(_load_once(*key))
    except OSError as error:
        if error.errno not in _PASSING:
            return None  # there are none, or it is not a file
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
    """A seal from its stored form; written by hand for speed, since every reading of a lab needs the seals."""
    if not isinstance(values, dict) or values.keys() != _KEYS:
        raise Damaged(_("it holds something else than it should"))
    size, mtime_ns, sha256 = (values[key] for key in _KEYS)
    if type(size) is not int or type(mtime_ns) is not int or (sha256 is not None and type(sha256) is not str):
        raise Damaged(_("it holds something else than it should"))
    return Seal(size=size, mtime_ns=mtime_ns, sha256=sha256)


def _look(file: Path) -> Seal:
    info = file.stat()
    digest = hash_plain(file) if info.st_size <= HASH_AT_ONCE else None
    return Seal(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=digest)
