"""The footer of a VHD: how large the disk is, which is less simple than it should be.

A footer has the size twice: in bytes, and as cylinders, heads and sectors, which is a rounded size. Which of them
counts depends on the program that made the image. For the programs in the lists below all versions of QEMU agree; for
others they differ (7.2 takes the geometry, 10 the bytes), so this host's QEMU is asked.
Sources: Microsoft's VHD specification 1.0; QEMU block/vpc.c.
Knows: bytes. Must not know: folders, what an image is for.
"""

from __future__ import annotations

import json
import os
import struct
from functools import lru_cache

from labkit.errors import LabError
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.storage.header_values import BadHeader, Header
from labkit.storage.process import run

_SECTOR = 512
_MAGIC = b"conectix"
_ALLOCATION = {2: Allocation.FIXED, 3: Allocation.DYNAMIC}
_BY_BYTES = (b"win ", b"qem2", b"d2v ", b"CTXS", b"tap\0")
_BY_GEOMETRY = (b"vpc ", b"qemu")
_MOST_GEOMETRY = 65535 * 16 * 255
_ASK_LIMIT = 10.0


def find_footer(file: int) -> bytes:
    """Return the footer of an open file, or b"" if there is none; dynamic images begin with a copy of it."""
    footer = os.pread(file, _SECTOR, 0)
    if not footer.startswith(_MAGIC):
        size = os.fstat(file).st_size
        footer = os.pread(file, _SECTOR, size - _SECTOR) if size >= _SECTOR else b""
    return footer if footer.startswith(_MAGIC) else b""


def read_vhd(file: int) -> Header:
    """Return what an open file's footer says.

    Raises:
        BadHeader: it is not a VHD, or damaged. OSError: it cannot be read.
    """
    footer = find_footer(file)
    if not footer:
        raise BadHeader(_("it has no VHD footer"))
    if sum(footer) - sum(footer[0x40:0x44]) + struct.unpack_from(">I", footer, 0x40)[0] != 0xFFFFFFFF:
        raise BadHeader(_("its footer is damaged"))
    size, cylinders, heads, sectors, kind = struct.unpack_from(">QHBBI", footer, 0x30)
    geometry, maker = cylinders * heads * sectors, footer[0x1C:0x20]
    if kind == 4:  # a differencing image, which QEMU does not support
        return Header(capacity=size // _SECTOR * _SECTOR, backing="?")
    if kind not in _ALLOCATION:
        raise BadHeader(_("its footer holds impossible values"))
    if maker in _BY_BYTES or geometry in (_MOST_GEOMETRY, size // _SECTOR):
        capacity = size // _SECTOR * _SECTOR
    elif maker in _BY_GEOMETRY:
        capacity = geometry * _SECTOR
    else:
        capacity = _ask_qemu(os.readlink(f"/proc/self/fd/{file}"), footer)
    return Header(capacity=capacity, allocation=_ALLOCATION[kind])


@lru_cache(maxsize=64)
def _ask_qemu(path: str, _footer: bytes) -> int:
    """Return the capacity as this host's QEMU sees it; cached for each footer."""
    argv = ["qemu-img", "info", "-U", "-f", Format.VHD.driver, "--output=json", path]
    try:
        return int(json.loads(run(argv, limit=Limit(_ASK_LIMIT), caged=True).output)["virtual-size"])
    except LabError as error:
        raise BadHeader(error.message) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadHeader(_("its footer holds impossible values")) from error
