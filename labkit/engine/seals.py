"""Seals of frozen images: what they were when something began to depend on them.

    home/seals.json     {"web.vda.0.qcow2": {"size": …, "mtime_ns": …, "sha256": …}, …}

A frozen image that another tool has written to would give every state above it another content, and nothing
else would notice. Where only its time differs (a lab copied, or brought back from a backup) the seal is renewed.
Knows: files. Must not know: libvirt, plans, what depends on an image.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.errors import LabError
from labkit.language import _
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.files import host_errors, sync_folder, sync_soon
from labkit.storage.plain import opened_plain
from labkit.units import MIB

HASH_AT_ONCE = 4 * MIB
"""Bytes up to which an image is hashed when it freezes, while the act waits."""

HASH_SOON = 256 * MIB
"""Bytes up to which an image is hashed after the act; larger ones are known by size and time alone."""

MOST_SEALS = 32 * MIB
"""Bytes of all seals of a lab together."""

_KEYS = dict.fromkeys(("size", "mtime_ns", "sha256")).keys()
_later = ThreadPoolExecutor(max_workers=1, thread_name_prefix="labkit-seals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a file was: bytes, nanoseconds since 1970, and the hash of its bytes (None: not yet, or too large)."""

    size: int
    mtime_ns: int
    sha256: str | None

    def is_of(self, info: os.stat_result) -> bool:
        """Whether a file looks as it did."""
        return (info.st_size, info.st_mtime_ns) == (self.size, self.mtime_ns)

    @property
    def waits(self) -> bool:
        """Whether its hash is still to be made."""
        return self.sha256 is None and self.size <= HASH_SOON


def seal(paths: Iterable[str]) -> None:
    """Seal frozen images, all in one lab's folder of disks, anew."""
    files = [Path(path) for path in paths]
    if not files:
        return
    with _open(files[0].parent) as seals:
        for file in files:
            seals[file.name] = _look(file)
        waits = any(seal.waits for seal in seals.values())
    if waits:
        _complete_later(files[0].parent)


def break_seals(paths: Iterable[str]) -> None:
    """Take the seals from images, all in one lab's folder of disks, that are about to be rewritten.

    Until they are sealed anew nothing is held against them, whatever interrupts the rewriting.
    """
    files = [Path(path) for path in paths]
    if files and any(file.name in _read(_place(files[0].parent)) for file in files):
        # An older seal must not come back once an image was rewritten.
        with _open(files[0].parent, lasting=True) as seals:
            for file in files:
                seals.pop(file.name, None)


def find_seals(folder: Path) -> dict[str, Seal]:
    """Return the seals of a lab's folder of disks by file name; those of vanished files too."""
    return _read(_place(folder))


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


def complete(folder: Path) -> None:
    """Make the hashes that are still missing from the seals of a folder of disks."""
    for name, old in _read(_place(folder)).items():
        file = folder / name
        with suppress(FileNotFoundError):
            if not old.waits or not old.is_of(file.stat()):
                continue
            new = replace(old, sha256=_hash(file))
            if not old.is_of(file.stat()):
                continue  # somebody wrote to it meanwhile: what was hashed is not what was sealed
            with _open(folder) as seals:
                if seals.get(name) == old:
                    seals[name] = new


def find_changed(folder: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some frozen images that are no longer what they were; seals with another time heal.

    Args:
        folder: the lab's folder of disks. paths: absolute; those that were never sealed are passed over.
    """
    known = _read(_place(folder))
    if any(seal.waits for seal in known.values()):
        _complete_later(folder)
    changed: list[str] = []
    healed: list[str] = []
    for path in paths:
        old = known.get(Path(path).name)
        if old is None or not Path(path).exists():
            continue
        info = os.stat(path)
        if old.is_of(info):
            continue
        same = info.st_size == old.size and old.sha256 is not None and _hash(Path(path)) == old.sha256
        (healed if same else changed).append(path)
    seal(healed)
    return changed


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
    with host_errors(place), place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seals = _read(place)
        before = dict(seals)
        yield seals
        if seals == before and place.exists():
            return
        left = {name: asdict(each) for name, each in sorted(seals.items())}
        draft = place.with_suffix(".part")
        try:
            with draft.open("w") as file:
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
        data = read_json(place, object, most=MOST_SEALS)
        return {name: _make(values) for name, values in data.items()} if isinstance(data, dict) else None
    except (OSError, Damaged):
        return None


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
