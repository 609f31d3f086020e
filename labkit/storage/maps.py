"""Maps of disks, read by one call of qemu-img; for VHDX, which qemu-img cannot map, from its block table.

Images are only read, so they may be in use; the map is then that of this instant.
Sources: QEMU docs/tools/qemu-img.rst (map).
Knows: qemu-img's map and VHDX's. Must not know: libvirt, plans.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Format, ImageFacts
from labkit.model.regions import Region, RegionKind, join_regions, locate
from labkit.storage.header_values import BadHeader
from labkit.storage.plain import open_plain, opened_plain
from labkit.storage.process import run
from labkit.storage.vhdx import read_blocks
from labkit.units import TIB

__all__ = ["LONGEST", "locate", "read_map"]

LONGEST = 64 * TIB
"""The longest file of which a map is read: QEMU goes through all clusters of a qcow2, written or not (some 3 s)."""

_UNMARKED = (Format.VDI, Format.VHD, Format.VHDX)  # QEMU does not distinguish their absent blocks from zeros


def read_map(layers: Sequence[ImageFacts], *, limit: Limit = NO_LIMIT) -> tuple[Region, ...]:
    """Return the map of a disk: regions in order, from its first byte to its last.

    Args:
        layers: its images, top → base.

    Raises:
        HostTrouble: an image cannot be read, or the layers have changed.
        Cancelled, TimedOut: from the limit.
    """
    top = layers[0]
    _check_plain(layers)
    if top.format is Format.VHDX:
        return join_regions(_read_vhdx(top))
    argv = ["qemu-img", "map", "-U", "--output=json", "-f", top.format.driver, top.path]
    told: list[dict[str, Any]] = json.loads(run(argv, limit=limit).output)
    if any(entry["depth"] >= len(layers) for entry in told):
        raise _trouble(top, _("it has other layers now"))
    return join_regions(_region(entry, layers[entry["depth"]], len(layers)) for entry in told)


def _check_plain(layers: Sequence[ImageFacts]) -> None:
    """Make sure that qemu-img will open these layers and no others, and that all are plain files."""
    if layers[-1].backing is not None:
        raise _trouble(layers[-1], _("what it is a difference to is gone"))
    for layer in layers:
        for file in layer.files:
            try:
                os.close(open_plain(file))
            except OSError as error:
                raise _trouble(layer, error.strerror or str(error)) from error
        if layer.length > LONGEST:
            raise _trouble(layer, _("its file is {length} bytes long, which no disk needs").format(length=layer.length))


def _region(entry: dict[str, Any], image: ImageFacts, layers: int) -> Region:
    start, length, offset = entry["start"], entry["length"], entry.get("offset")
    if entry["data"]:
        kind = RegionKind.DATA
    elif offset is None and (not entry["present"] or (image.format in _UNMARKED and entry["depth"] == layers - 1)):
        return Region(start=start, length=length, kind=RegionKind.ABSENT)
    else:
        kind = RegionKind.ZERO
    path = image.files[-1] if len(image.files) <= 2 else None  # a fixed VMDK's bytes are in its second file
    if path is None or (kind is RegionKind.ZERO and offset is None):
        path = offset = None
    return Region(start=start, length=length, kind=kind, layer=entry["depth"], path=path, offset=offset)


def _read_vhdx(image: ImageFacts) -> Iterator[Region]:
    try:
        with opened_plain(image.path) as file:
            for start, length, offset in read_blocks(file.fileno()):
                if offset is None:
                    yield Region(start=start, length=length, kind=RegionKind.ABSENT)
                else:
                    yield Region(
                        start=start, length=length, kind=RegionKind.DATA, layer=0, path=image.path, offset=offset
                    )
    except (OSError, BadHeader) as error:
        raise _trouble(image, str(error)) from error


def _trouble(image: ImageFacts, why: str) -> HostTrouble:
    return HostTrouble(
        _("The map of {name} cannot be read: {why}.").format(name=Path(image.path).name, why=why),
        _("Look at it again; if that does not help, check the image."),
    )
