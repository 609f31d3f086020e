"""Reading every sealed file of a lab whole, to find changes that size and time do not show.

If a file has changed, that is noted in its seal, so that every act refuses it from then on.
Knows: seals. Must not know: libvirt, plans, what depends on an image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.engine import seals
from labkit.limits import NO_LIMIT, Limit, OnBytes, unheard
from labkit.storage.contents import hash_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result, as absolute paths in the order of the question.

    Attributes:
        intact: files that hold what was sealed. changed: files that hold something else.
        first: files that were hashed for the first time, with their sealed size and time; this content counts from now
            on.
        unsealed: files without a seal. gone: files that do not exist.
        bytes: how much was read.
    """

    intact: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    unsealed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    bytes: int = 0


def verify(folder: Path, paths: Iterable[str], *, on_bytes: OnBytes = unheard, limit: Limit = NO_LIMIT) -> Verification:
    """Read files whole and compare them with their seals.

    Args:
        folder: the lab's folder of disks. paths: absolute, of frozen images and memory.
        on_bytes: called with bytes read and bytes in all. limit: heeded between files.

    Raises:
        Cancelled, TimedOut: from the limit. HostTrouble: a file cannot be read.
    """
    wanted = [*paths]
    total = sum(Path(path).stat().st_size for path in wanted if Path(path).exists())
    found: dict[str, list[str]] = {}
    done = 0
    for path in wanted:
        limit.check()
        on_bytes(done, total)
        verdict, size = _judge(folder, Path(path))
        found.setdefault(verdict, []).append(path)
        done += size
    on_bytes(done, total)
    return Verification(bytes=done, **{verdict: tuple(each) for verdict, each in found.items()})


def _judge(folder: Path, file: Path) -> tuple[str, int]:
    """The verdict on one file, and how many of its bytes were read."""
    old = seals.find_seals(folder).get(file.name)
    if not os.path.lexists(file):
        return "gone", 0
    if old is None:
        return "unsealed", 0
    if file.is_symlink() or not file.is_file():
        return "changed", 0  # a link: what it leads to is not what was sealed
    before = file.stat()
    digest = hash_file(file) if before.st_size == old.size else ""  # a file of another length has changed
    after = file.stat()
    moved = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)
    if moved or seals.find_seals(folder).get(file.name) != old:
        return _judge(folder, file)  # an act of ours is just rewriting and resealing it
    if digest == old.sha256:
        seals.exchange(folder, file.name, old, replace(old, mtime_ns=after.st_mtime_ns))
        return "intact", after.st_size
    if old.sha256 is None and old.is_of(after):
        seals.exchange(folder, file.name, old, replace(old, sha256=digest))
        return "first", after.st_size
    seals.exchange(folder, file.name, old, replace(old, mtime_ns=seals.UNKNOWN_TIME))
    return "changed", after.st_size if digest else 0
