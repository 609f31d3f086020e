"""The map of a disk: which file of the host holds which bytes the guest sees.

Knows: the words of the course. Must not know: how a map is read.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.errors import BadInput, WrongState
from labkit.language import _


class RegionKind(StrEnum):
    """What the host holds for a stretch of a disk."""

    DATA = "data"
    """Bytes in a file."""
    ZERO = "zero"
    """Zeros for which no bytes are stored: a mark in the image, or a hole in its file."""
    ABSENT = "absent"
    """Nothing: no layer has been written there, so it reads as zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A stretch of a disk that is held in one way.

    Attributes:
        start, length: bytes, as the guest counts them.
        kind: what the host holds.
        layer: index of the image that it is read from, top → base; None where it is absent.
        path: absolute path of the file that holds it, or None if no bytes are held.
        offset: of its first byte in that file, or None if no bytes are held or they are compressed.
    """

    start: int
    length: int
    kind: RegionKind
    layer: int | None = None
    path: str | None = None
    offset: int | None = None

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.length


def join_regions(regions: Iterable[Region]) -> tuple[Region, ...]:
    """Return the regions, with neighbours that continue each other joined."""
    joined: list[Region] = []
    for region in regions:
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.kind, last.layer, last.path) == (region.kind, region.layer, region.path)
            and region.offset == (None if last.offset is None else last.offset + last.length)
        ):
            joined[-1] = replace(last, length=last.length + region.length)
        else:
            joined.append(region)
    return tuple(joined)


def find_region(regions: Sequence[Region], offset: int) -> Region | None:
    """Return the region that a byte of the disk lies in, or None if it lies outside."""
    place = bisect.bisect_right(regions, offset, key=lambda region: region.start) - 1
    return regions[place] if place >= 0 and regions[place].start <= offset < regions[place].end else None


def locate(regions: Sequence[Region], offset: int) -> tuple[str, int]:
    """Return where a byte of the disk lies on the host: the file's absolute path and the offset in it.

    Args:
        regions: the disk's map, in order. offset: bytes from the start of the disk, as the guest counts.

    Raises:
        BadInput: the disk has no such byte. WrongState: the host holds nothing there, or only compressed.
    """
    region = find_region(regions, offset)
    if region is None:
        raise BadInput(
            _("The disk has no byte {offset}.").format(offset=offset),
            _("Name one from 0 to {last}.").format(last=regions[-1].end - 1 if regions else 0),
        )
    if region.kind is not RegionKind.DATA:
        raise WrongState(
            _("The host holds nothing yet for byte {offset}: it reads as zero.").format(offset=offset),
            _("Write there in the guest, say sync, and look again."),
        )
    if region.path is None or region.offset is None:
        raise WrongState(
            _("Byte {offset} lies compressed in its file, so it has no place of its own.").format(offset=offset),
            _("Convert the disk: the new image is not compressed."),
        )
    return region.path, region.offset + offset - region.start
