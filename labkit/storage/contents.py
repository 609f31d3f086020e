"""Contents as hashes: a file's; what a guest reads from a disk, however its blocks are spread over layers and files.

Knows: files, maps of images. Must not know: machines, snapshots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from labkit.model.regions import Region, RegionKind
from labkit.storage.files import host_errors
from labkit.storage.plain import hash_plain

_BLOCK: Final = 4096


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        HostTrouble: it is no plain file, or cannot be read.
    """
    with host_errors(path):
        return hash_plain(path)


def hash_content(regions: Sequence[Region], leave_out: int | None = None) -> str:
    """Return a hash of what a guest reads: the blocks that are not all zeros, with their places; "" if unreadable.

    Args:
        leave_out: a byte whose block does not count.
    """
    digest = hashlib.sha256()
    if not regions:
        return ""
    try:
        for place, block in _blocks(regions):
            if leave_out is not None and place <= leave_out < place + len(block):
                continue
            digest.update(place.to_bytes(8, "big") + block)
    except OSError:
        return ""
    return digest.hexdigest()


def _blocks(regions: Sequence[Region]) -> Iterator[tuple[int, bytes]]:
    for region in regions:
        if region.kind is not RegionKind.DATA or region.path is None or region.offset is None:
            continue
        with Path(region.path).open("rb") as file:
            file.seek(region.offset)
            for done in range(0, region.length, _BLOCK):
                block = file.read(min(_BLOCK, region.length - done))
                if block.strip(b"\0"):
                    yield region.start + done, block
