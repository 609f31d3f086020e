"""Whether a machine is still as it was made, so that it can go on from a guest which is kept booted; and its kind.

Knows: images, definitions. Must not know: what is kept, how a machine goes on from it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.engine.folders import data_folder
from labkit.errors import LabError
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.kinds import find_kind
from labkit.hypervisor.mapped_xml import is_mappable
from labkit.model.image import Allocation, Format, GuestImage, ImageFacts
from labkit.model.kept import BlankDisk
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from labkit.storage import headers
from labkit.storage.plain import opened_plain
from labkit.units import KIB, MIB

_CHUNK = MIB
_MOST_BLANK = 64 * KIB  # qemu-img writes zeros at the beginning of a raw image


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The kind of a machine that is as it was made, and what of it a kept guest must fit.

    Attributes:
        folder: where a guest of this kind is kept, if one is. image: the guest image that it was made from.
        definition: of the machine. blanks: its disks, besides its first one.
        below: if its first disk is a layer to which nothing was written, the image right below it.
    """

    folder: Path
    image: GuestImage
    definition: str
    blanks: tuple[BlankDisk, ...]
    below: str | None = None


def kept_folder() -> Path:
    """Return the folder in which guests are kept."""
    return data_folder() / "warm"


def find_kind_of(domains: Domains, state: LabState, name: str) -> Kind | None:
    """Return a machine's kind, or None if no guest is kept of it.

    A guest is kept for machines that are as they were made: off; the first disk holds what the guest image holds,
    perhaps with empty layers above; further disks are blank. The hypervisor must be able to let a guest map its memory,
    and the guest must have an agent, which is told who it is; the image must say how one sees that it is up.
    """
    facts = state.machines[name]
    spec, image = facts.spec, state.guest_images.get(facts.spec.image)
    if image is None or image.prompt is None or not spec.agent or not spec.disks or facts.state is not MachineState.OFF:
        return None
    if image.format is not Format.QCOW2 or spec.disks[0].format is not Format.QCOW2:
        return None
    disk, *others = spec.disks
    folder = kept_folder()
    if disk.served or "," in str(folder) or domains.connection.runtime is None:
        return None
    blanks = [_as_blank(each, state.images.get(each.path)) for each in others]
    if not _holds_image(state.images, disk.path, image):
        return None
    definition = domains.xml(facts.id)
    there = tuple(each for each in blanks if each is not None)
    if len(there) < len(others) or not is_mappable(definition):
        return None
    kind = find_kind(domains.connection, definition, os.path.realpath(image.disk), there)
    below = state.images[disk.path].backing
    return Kind(folder=folder / kind, image=image, definition=definition, blanks=there, below=below)


def _holds_image(images: Mapping[str, ImageFacts], path: str, image: GuestImage) -> bool:
    """Whether a disk's image is a copy of the guest image's, or layers without content on such a copy."""
    facts = images.get(path)
    if facts is None or facts.capacity != image.capacity:
        return False
    if not facts.backing:
        return is_same(Path(path), Path(image.disk))
    try:
        blank = facts.format is Format.QCOW2 and headers.is_blank(Path(path))
    except (LabError, OSError):
        return False
    return blank and _holds_image(images, facts.backing, image)


def _as_blank(disk: DiskSpec, image: ImageFacts | None) -> BlankDisk | None:
    """A disk as a blank one, or None if something may have been written to it."""
    if disk.served or image is None or image.backing or image.allocation is not Allocation.DYNAMIC:
        return None
    path = Path(disk.path)
    try:
        info = path.stat()
        blank = is_blank(path, disk.format)
    except (LabError, OSError):
        return None
    seen = (info.st_size, info.st_mtime_ns)
    kind = BlankDisk(target=disk.target, path=disk.path, format=disk.format, capacity=image.capacity, seen=seen)
    return kind if blank else None


def is_blank(path: Path, format: Format) -> bool:
    """Return whether an image holds nothing but zeros; of some formats it is not known, and then it counts as written.

    Raises:
        LabError, OSError: it cannot be read.
    """
    if format is not Format.RAW:
        return format is Format.QCOW2 and headers.is_blank(path)
    with opened_plain(path) as file:
        if os.fstat(file.fileno()).st_blocks * 512 > _MOST_BLANK:
            return False
        at = 0
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return True  # only a hole is left
                raise
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            if any(os.pread(file.fileno(), end - at, at)):
                return False
            at = end


def is_same(one: Path, other: Path) -> bool:
    """Return whether two files hold the same bytes."""
    try:
        with opened_plain(one) as first, opened_plain(other, follow=True) as second:
            if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
                return False
            while data := first.read(_CHUNK):
                if data != second.read(_CHUNK):
                    return False
            return True
    except OSError:
        return False
