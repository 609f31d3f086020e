"""The headers of the six image formats, read byte by byte: what a file says it holds.

Nothing is probed; a header is a few reads of a few hundred bytes.
Sources: QEMU docs/interop/qcow2.txt and block/{vdi,vmdk}.c; VMware's Virtual Disk Format 5.0.
Knows: bytes. Must not know: folders, what an image is for.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
from collections.abc import Callable

from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.storage.header_values import BadHeader, Extent, Header
from labkit.storage.vhd import find_footer, read_vhd
from labkit.storage.vhdx import VHDX_MAGIC, read_vhdx

_SECTOR = 512

_LOOKS = 10
"""How often a header that is just being written is read."""

MOST_OFFSET = 2**63 - 1
"""The most bytes that a file or a disk may have: hosts count in signed 64-bit numbers."""


def read_header(file: int, format: Format) -> Header:
    """Return what an open file's header says, all of one instant.

    Another process may be writing it, for instance to let the image stand on another one: so it is read until it is
    twice the same.

    Args:
        file: a descriptor open for reading. format: of the image, never probed.

    Raises:
        BadHeader: it is not an image of that format. OSError: it cannot be read.
    """
    header = _read_once(file, format)
    for _look in range(_LOOKS):
        before, header = header, _read_once(file, format)
        if header == before:
            break
    if isinstance(header, str):
        raise BadHeader(header)
    if header.capacity > MOST_OFFSET:
        raise BadHeader(_("its header holds impossible values"))
    return header


def _read_once(file: int, format: Format) -> Header | str:
    """What a header says just now; or why it cannot be read, which may be as short-lived."""
    try:
        return _READERS[format](file)
    except BadHeader as error:
        return str(error)
    except (struct.error, IndexError, OverflowError, ValueError):
        return _("it ends too early")


def true_format(file: int) -> Format | None:
    """Return the format that an open file's magic bytes show, or None if they show none of ours (raw has no magic)."""
    start = os.pread(file, 512, 0)
    if start.startswith(_QCOW2_MAGIC):
        return Format.QCOW2
    if start[0x40:0x44] == _VDI_MAGIC:
        return Format.VDI
    if start.startswith((_VMDK_MAGIC, b"COWD")) or _is_descriptor(start):
        return Format.VMDK
    if start.startswith(VHDX_MAGIC):
        return Format.VHDX
    if find_footer(file):
        return Format.VHD
    return None


def _read_raw(file: int) -> Header:
    size = os.fstat(file).st_size
    return Header(capacity=-(-size // _SECTOR) * _SECTOR)


# qcow2 ------------------------------------------------------------------------------------------------------

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2 = struct.Struct(">4sIQIIQI")  # magic, version, backing offset and length, cluster bits, capacity, encryption
_QCOW2_V2_LENGTH = 72
_QCOW2_SNAPSHOTS = 60  # where their number is
_CORRUPT, _DATA_FILE = 2, 4  # incompatible features
_BACKING_FORMAT = 0xE2792ACA  # a header extension
_MOST_ENTRIES = 4 * 1024 * 1024  # of the first table, as in QEMU


def is_blank_qcow2(file: int) -> bool:
    """Whether no cluster of an open qcow2 image was ever written: its first table is empty."""
    try:
        entries, at = struct.unpack_from(">IQ", os.pread(file, 4096, 0), 36)
    except struct.error as error:
        raise BadHeader(_("it ends too early")) from error
    if entries > _MOST_ENTRIES or at > MOST_OFFSET:
        raise BadHeader(_("its header holds impossible values"))
    return not any(os.pread(file, entries * 8, at))


def _read_qcow2(file: int) -> Header:
    start = os.pread(file, 4096, 0)
    magic, version, name_at, name_length, cluster_bits, capacity, encryption = _QCOW2.unpack_from(start)
    if magic != _QCOW2_MAGIC:
        raise BadHeader(_("it does not begin as a qcow2 image"))
    if version not in (2, 3) or not 9 <= cluster_bits <= 21 or name_length > 1023:
        raise BadHeader(_("its header holds impossible values"))
    if name_at > MOST_OFFSET:
        raise BadHeader(_("its header holds impossible values"))
    features, end = 0, _QCOW2_V2_LENGTH
    if version == 3:
        features, end = struct.unpack_from(">Q", start, 72)[0], struct.unpack_from(">I", start, 100)[0]
    backing = None
    if name_at:
        within = name_at + name_length <= len(start)  # as QEMU writes it: what is read at once is of one instant
        name = start[name_at : name_at + name_length] if within else os.pread(file, name_length, name_at)
        if len(name) < name_length:
            raise BadHeader(_("it ends too early"))
        backing = os.fsdecode(name)
    return Header(
        capacity=capacity // _SECTOR * _SECTOR,
        backing=backing,
        backing_format=_qcow2_extensions(start, end).get(_BACKING_FORMAT, b"").decode("ascii", "replace") or None,
        data_file=bool(features & _DATA_FILE),
        corrupt=bool(features & _CORRUPT),
        encrypted=bool(encryption),
        internal=struct.unpack_from(">I", start, _QCOW2_SNAPSHOTS)[0],
    )


def _qcow2_extensions(start: bytes, position: int) -> dict[int, bytes]:
    extensions = {}
    while position + 8 <= len(start):
        kind, length = struct.unpack_from(">II", start, position)
        if kind == 0:
            break
        extensions[kind] = start[position + 8 : position + 8 + length]
        position += 8 + -(-length // 8) * 8
    return extensions


# VDI --------------------------------------------------------------------------------------------------------

_VDI_MAGIC = b"\x7f\x10\xda\xbe"
_VDI_ALLOCATION = {1: Allocation.DYNAMIC, 2: Allocation.FIXED}


def _read_vdi(file: int) -> Header:
    start = os.pread(file, 512, 0)
    if start[0x40:0x44] != _VDI_MAGIC:
        raise BadHeader(_("it does not begin as a VDI image"))
    kind = struct.unpack_from("<I", start, 0x4C)[0]
    capacity = struct.unpack_from("<Q", start, 0x170)[0]
    if kind == 4:  # a differencing image of VirtualBox; it knows its parent by UUID only
        return Header(capacity=capacity, backing=str(uuid.UUID(bytes_le=start[0x1A8:0x1B8])))
    if kind not in _VDI_ALLOCATION:
        raise BadHeader(_("its header holds impossible values"))
    return Header(capacity=-(-capacity // _SECTOR) * _SECTOR, allocation=_VDI_ALLOCATION[kind])


# VMDK -------------------------------------------------------------------------------------------------------

_VMDK_MAGIC = b"KDMV"
_VMDK = struct.Struct("<4sIIQQQQ")  # magic, version, flags, capacity, grain, descriptor's offset and length: sectors
_DESCRIPTOR_MOST = 64 * 1024
_EXTENT = re.compile(
    r"^(?:RW|RDONLY|NOACCESS)\s+(?P<sectors>\d{1,15})\s+(?P<kind>[A-Z]{1,16})"
    r'(?:\s+"(?P<name>[^"\r\n]{0,511})"(?P<at>[^\n]*))?',
    re.MULTILINE,
)
_OFFSET = re.compile(r"[0-9]{0,15}")
_EXTENT_START = re.compile(r"^(?:RW|RDONLY|NOACCESS)\s", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n\s+")  # joined first: otherwise each would be searched to its end
_PARENT_KEY = "parentFileNameHint"  # QEMU looks for it anywhere
_PARENT = re.compile(r'\s*=\s*"([^"\r\n]{0,1023})"')
_MOST_EXTENTS = 256  # QEMU opens them all, each time
_FLAT = ("FLAT", "VMFS")


def _read_vmdk(file: int) -> Header:
    start = os.pread(file, 4096, 0)
    if start.startswith(_VMDK_MAGIC):
        _magic, version, _flags, sectors, grain, at, length = _VMDK.unpack_from(start)
        if version not in (1, 2, 3) or not grain or not 0 < sectors < 2**54:  # without a capacity it would name extents
            raise BadHeader(_("its header holds impossible values"))
        text = _text(os.pread(file, min(length * _SECTOR, _DESCRIPTOR_MOST), at * _SECTOR)) if at else ""
        return Header(capacity=sectors * _SECTOR, allocation=Allocation.DYNAMIC, backing=_find_parent(text))
    if not _is_descriptor(start):
        raise BadHeader(_("it does not begin as a VMDK image"))
    if os.fstat(file).st_size > _DESCRIPTOR_MOST:  # QEMU would read more of it than we do
        raise BadHeader(_("its list of files is too long"))
    text = _BLANK_LINES.sub("\n", _text(os.pread(file, _DESCRIPTOR_MOST, 0)).lstrip())
    matches = list(_EXTENT.finditer(text))
    offsets = [(match["at"] or "").strip() for match in matches]
    if len(matches) != len(_EXTENT_START.findall(text)) or not all(map(_OFFSET.fullmatch, offsets)):
        raise BadHeader(_("its list of files is damaged"))
    extents = tuple(
        Extent(
            kind=match["kind"],
            length=int(match["sectors"]) * _SECTOR,
            name=match["name"],
            offset=int(offset or 0) * _SECTOR,
        )
        for match, offset in zip(matches, offsets, strict=True)
    )
    if not extents:
        raise BadHeader(_("it names no file that holds the data"))
    if len(extents) > _MOST_EXTENTS:
        raise BadHeader(_("it is in more than {most} pieces").format(most=_MOST_EXTENTS))
    fixed = all(extent.kind in _FLAT for extent in extents)
    return Header(
        capacity=sum(extent.length for extent in extents),
        allocation=Allocation.FIXED if fixed else Allocation.DYNAMIC,
        backing=_find_parent(text),
        extents=extents,
    )


def _find_parent(text: str) -> str | None:
    """Return the image below that a descriptor names, "?" if the name cannot be read, or None."""
    _before, key, after = text.partition(_PARENT_KEY)
    if not key:
        return None
    name = _PARENT.match(after)
    return name[1] if name else "?"


def _is_descriptor(start: bytes) -> bool:
    return start.lstrip().startswith(b"# Disk DescriptorFile")


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


_READERS: dict[Format, Callable[[int], Header]] = {
    Format.RAW: _read_raw,
    Format.QCOW2: _read_qcow2,
    Format.VDI: _read_vdi,
    Format.VMDK: _read_vmdk,
    Format.VHD: read_vhd,
    Format.VHDX: read_vhdx,
}
