"""VHDX: its header, and its table of blocks, which qemu-img cannot map.

Source: Microsoft's [MS-VHDX], 2.2 to 2.6.
Knows: bytes. Must not know: folders, what an image is for.
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.language import _
from labkit.model.image import Allocation
from labkit.storage.header_values import BadHeader, Header

VHDX_MAGIC = b"vhdxfile"
_REGIONS_AT = 192 * 1024
_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
_BLOCK_TABLE = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08").bytes_le
_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
_SECTOR_SIZE = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F").bytes_le
_LEAVE_ALLOCATED, _HAS_PARENT = 1, 2
_SMALLEST_BLOCK, _LARGEST_BLOCK = 2**20, 2**28  # bytes, as in the next three
_LARGEST = 64 * 2**40
_MOST_TABLE = 4 * 2**20
_PRESENT = (6, 7)  # fully and partly present; a block in any other state reads as zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdxLayout:
    """How a VHDX is laid out: bytes per block and per sector, where the block table is, marks."""

    capacity: int
    block_size: int
    sector_size: int
    table_at: int
    flags: int


def read_vhdx_layout(file: int) -> VhdxLayout:
    """Return a VHDX's layout.

    Raises:
        BadHeader: it is not a VHDX. OSError: it cannot be read.
    """
    if os.pread(file, 8, 0) != VHDX_MAGIC:
        raise BadHeader(_("it does not begin as a VHDX image"))
    regions = _table(os.pread(file, 4096, _REGIONS_AT), b"regi", count_at=8, first=16, entry="<16sQII")
    if not {_METADATA, _BLOCK_TABLE} <= regions.keys():
        raise BadHeader(_("its table of regions is damaged"))
    metadata_at = regions[_METADATA]
    items = _table(os.pread(file, 4096, metadata_at), b"metadata", count_at=10, first=32, entry="<16sIII4x")
    try:
        block_size, flags = struct.unpack("<II", os.pread(file, 8, metadata_at + items[_PARAMETERS]))
        capacity = struct.unpack("<Q", os.pread(file, 8, metadata_at + items[_SIZE]))[0]
        sector_size = struct.unpack("<I", os.pread(file, 4, metadata_at + items[_SECTOR_SIZE]))[0]
    except KeyError as error:
        raise BadHeader(_("its metadata are damaged")) from error
    plain = _SMALLEST_BLOCK <= block_size <= _LARGEST_BLOCK and not block_size % _SMALLEST_BLOCK
    if not plain or sector_size not in (512, 4096) or capacity > _LARGEST:
        raise BadHeader(_("its metadata hold impossible values"))
    return VhdxLayout(
        capacity=capacity,
        block_size=block_size,
        sector_size=sector_size,
        table_at=regions[_BLOCK_TABLE],
        flags=flags,
    )


def _table(data: bytes, magic: bytes, *, count_at: int, first: int, entry: str) -> dict[bytes, int]:
    """Return the entries of a VHDX table: the offset by identifier."""
    if not data.startswith(magic):
        raise BadHeader(_("its tables are damaged"))
    line = struct.Struct(entry)
    count = min(struct.unpack_from("<H", data, count_at)[0], (len(data) - first) // line.size)
    entries = (line.unpack_from(data, first + number * line.size) for number in range(count))
    return {name: offset for name, offset, *_rest in entries}


def read_vhdx(file: int) -> Header:
    """Return what an open VHDX's header says.

    Raises:
        BadHeader: it is not a VHDX. OSError: it cannot be read.
    """
    layout = read_vhdx_layout(file)
    return Header(
        capacity=layout.capacity,
        allocation=Allocation.FIXED if layout.flags & _LEAVE_ALLOCATED else Allocation.DYNAMIC,
        backing="?" if layout.flags & _HAS_PARENT else None,
    )


def read_blocks(file: int) -> Iterator[tuple[int, int, int | None]]:
    """Yield an open VHDX's blocks in order: (start and length as the guest counts, offset in the file or None).

    The table has an entry for each block, and one for a bitmap after every `ratio` of them.

    Raises:
        BadHeader: it is not a VHDX. OSError: it cannot be read.
    """
    layout = read_vhdx_layout(file)
    blocks = -(-layout.capacity // layout.block_size)
    ratio = 2**23 * layout.sector_size // layout.block_size
    length = (blocks + (blocks - 1) // ratio) * 8 if blocks else 0
    if length > _MOST_TABLE:
        raise BadHeader(_("its table of blocks is too long"))
    if layout.table_at + length > os.fstat(file).st_size:
        raise BadHeader(_("it ends too early"))
    table = os.pread(file, length, layout.table_at)
    if len(table) < length:
        raise BadHeader(_("it ends too early"))
    for block in range(blocks):
        entry = struct.unpack_from("<Q", table, (block + block // ratio) * 8)[0]
        start = block * layout.block_size
        offset = entry >> 20 << 20 if entry & 7 in _PRESENT else None
        yield start, min(layout.block_size, layout.capacity - start), offset
