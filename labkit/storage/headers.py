"""What an image file says of itself: capacity and backing file, from its header.

Source: QEMU's docs/interop/qcow2.txt. The format is always given, never probed.
Knows: the headers of qcow2 and raw. Must not know: libvirt, plans.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.model.image import Allocation, Format, ImageFacts

_QCOW2_START = struct.Struct(">4sIQIIQ")
_QCOW2_MAGIC = b"QFI\xfb"


def read_image(path: Path, format: Format) -> ImageFacts:
    """Return an image's facts.

    Args:
        path: absolute. format: "qcow2" or "raw".

    Raises:
        FileNotFoundError: it is gone. HostTrouble: its header is not of that format.
    """
    info = path.stat()
    capacity, backing = info.st_size, None
    if format == "qcow2":
        capacity, backing = _read_qcow2(path)
    return ImageFacts(
        path=str(path),
        format=format,
        capacity=capacity,
        length=info.st_size,
        allocated=info.st_blocks * 512,
        allocation=Allocation.FIXED if info.st_blocks * 512 >= capacity else Allocation.DYNAMIC,
        files=(str(path),),
        backing=backing,
        frozen=not info.st_mode & stat.S_IWUSR,
    )


def read_folder(folder: Path) -> dict[str, ImageFacts]:
    """Return the images in a folder by absolute path; their names end in their format."""
    images = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        format = path.suffix.removeprefix(".")
        if format in ("qcow2", "raw"):
            try:
                images[str(path)] = read_image(path, Format(format))
            except (FileNotFoundError, HostTrouble):
                continue
    return images


def _read_qcow2(path: Path) -> tuple[int, str | None]:
    with path.open("rb") as file:
        start = file.read(_QCOW2_START.size)
        if len(start) < _QCOW2_START.size or start[:4] != _QCOW2_MAGIC:
            raise HostTrouble(
                _("{path} is not a qcow2 image.").format(path=path.name),
                _("It may have been written to by another program; delete the machine or restore the file."),
            )
        _magic, _version, offset, size, _cluster_bits, capacity = _QCOW2_START.unpack(start)
        if not offset:
            return capacity, None
        file.seek(offset)
        name = file.read(min(size, 1023)).decode(errors="surrogateescape")
    return capacity, os.path.normpath(path.parent / name)
