"""The capacity that a VHD really gets: it counts in cylinders, heads and sectors, and rounds up to whole cylinders.

Sources: Microsoft's VHD specification 1.0, appendix; QEMU block/vpc.c, which makes our images.
Knows: numbers. Must not know: files, plans.
"""

from __future__ import annotations

SECTOR = 512
"""Bytes of a sector."""

MOST_SECTORS = 65535 * 16 * 255
"""The most sectors that a geometry can express; beyond that, only the size in bytes counts."""


def vhd_capacity(capacity: int) -> int:
    """Return how many bytes a guest sees of a VHD made with `capacity` bytes, a multiple of 512."""
    wanted = capacity // SECTOR
    if wanted >= MOST_SECTORS:
        return capacity
    given, asked = 0, wanted
    while given < wanted:
        given = _whole_cylinders(asked)
        asked += 1
    return capacity if given == MOST_SECTORS else given * SECTOR


def _whole_cylinders(sectors: int) -> int:
    """Return how many of the sectors fit into whole cylinders."""
    if sectors >= 65535 * 16 * 63:
        heads, per_track = 16, 255
    else:
        per_track = 17
        heads = max(4, -(-(sectors // per_track) // 1024))
        if sectors // per_track >= heads * 1024 or heads > 16:
            heads, per_track = 16, 31
        if sectors // per_track >= heads * 1024:
            heads, per_track = 16, 63
    return sectors // per_track // heads * heads * per_track
