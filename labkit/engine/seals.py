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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.storage.files import host_errors
from labkit.units import MIB

HASH_AT_ONCE = 256 * MIB
"""Bytes up to which an image is hashed when it freezes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a file was: bytes, nanoseconds since 1970, and the hash of its bytes (None: too large to hash)."""

    size: int
    mtime_ns: int
    sha256: str | None


def seal(paths: Iterable[str]) -> None:
    """Seal frozen images, all in one lab's folder of disks, anew."""
    files = [Path(path) for path in paths]
    if not files:
        return
    with _open(files[0].parent) as seals:
        for file in files:
            seals[file.name] = _look(file)


def find_changed(folder: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some frozen images that are no longer what they were; seals with another time heal.

    Args:
        folder: the lab's folder of disks. paths: absolute; those that were never sealed are passed over.
    """
    known = _read(_place(folder))
    changed: list[str] = []
    healed: list[str] = []
    for path in paths:
        old = known.get(Path(path).name)
        if old is None or not Path(path).exists():
            continue
        info = os.stat(path)
        if (info.st_size, info.st_mtime_ns) == (old.size, old.mtime_ns):
            continue
        same = info.st_size == old.size and old.sha256 is not None and _hash(Path(path)) == old.sha256
        (healed if same else changed).append(path)
    seal(healed)
    return changed


@contextmanager
def _open(folder: Path) -> Iterator[dict[str, Seal]]:
    """The seals to change, alone; written whole or not at all. Those of files that are gone are dropped."""
    place = _place(folder)
    with host_errors(place), place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seals = _read(place)
        yield seals
        left = {name: asdict(each) for name, each in sorted(seals.items()) if (folder / name).exists()}
        draft = place.with_suffix(".part")
        with draft.open("w") as file:
            json.dump(left, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)


def _place(folder: Path) -> Path:
    return folder.parent / "seals.json"


def _read(place: Path) -> dict[str, Seal]:
    try:
        return {name: Seal(**values) for name, values in json.loads(place.read_text()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # without a seal nothing is known, and nothing is held against a file


def _look(file: Path) -> Seal:
    info = file.stat()
    digest = _hash(file) if info.st_size <= HASH_AT_ONCE else None
    return Seal(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=digest)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
