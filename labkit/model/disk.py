"""A disk as a value: a named thing of the lab with one active image and the layers below it.

Knows: the words of the course. Must not know: how images are read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts

_NUMBERED = re.compile(r"(?P<disk>.+)\.(?P<number>[0-9]+)\.(?P<format>[a-z0-9]+)")
_IDE_DISKS = 4

FLAT = "-flat.vmdk"
"""The ending of the name of a fixed VMDK's second file, the one with the data."""


class Bus(StrEnum):
    """What a disk is attached to: a controller that only virtual machines have, or an imitation of a real one."""

    VIRTIO = "virtio"
    IDE = "ide"

    @property
    def targets(self) -> tuple[str, ...]:
        """What a guest calls the disks on it, in order."""
        if self is Bus.IDE:
            return tuple(f"sd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:_IDE_DISKS])
        return tuple(f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """A disk as it is now.

    Attributes:
        name: its name in the lab.
        layers: its images, top (active) → base.
        machine: the name of the machine it is attached to, or None if it is free.
        target: what that machine's guest calls it ("vdb"), or None.
        socket: the UNIX socket where it is served as another machine's storage, or None.
    """

    name: str
    layers: tuple[ImageFacts, ...]
    machine: str | None = None
    target: str | None = None
    socket: str | None = None

    @property
    def active(self) -> ImageFacts:
        """The image that is written to."""
        return self.layers[0]

    @property
    def base(self) -> ImageFacts:
        """The lowest image."""
        return self.layers[-1]

    @property
    def format(self) -> Format:
        """Its base's format."""
        return self.base.format

    @property
    def allocation(self) -> Allocation:
        """Its base's allocation."""
        return self.base.allocation

    @property
    def capacity(self) -> int:
        """Bytes the guest sees."""
        return self.active.capacity

    @property
    def length(self) -> int:
        """Bytes its files are long, all layers together."""
        return sum(image.length for image in self.layers)

    @property
    def allocated(self) -> int:
        """Bytes the host really gave, all layers together."""
        return sum(image.allocated for image in self.layers)


def disk_name(path: str) -> str:
    """Return the name of the disk an image belongs to, from the image's file name."""
    match = _NUMBERED.fullmatch(posixpath.basename(path))
    return match["disk"] if match else posixpath.basename(path)


def image_number(path: str) -> int:
    """Return an image's number among those of its disk, from its file name; -1 for a foreign name."""
    match = _NUMBERED.fullmatch(posixpath.basename(path))
    return int(match["number"]) if match else -1


def image_path(folder: str, disk: str, number: int, format: Format) -> str:
    """Return the path of a disk's image; inverse of `disk_name` and `image_number`."""
    return posixpath.join(folder, f"{disk}.{number}.{format}")


def format_of(path: str) -> Format:
    """Return an image's format, which its file name ends with."""
    return Format(posixpath.splitext(path)[1].removeprefix("."))


def extent_path(path: str) -> str:
    """Return the path of the second file that a fixed VMDK of this path has."""
    return path.removesuffix(".vmdk") + FLAT


def backing_name(image: str, backing: str) -> str:
    """Return how an image's header names the image below it: relative to its own folder. Both are absolute paths.

    QEMU takes what precedes a colon for a protocol ("nbd:…"), unless a folder precedes it.
    """
    name = posixpath.relpath(backing, posixpath.dirname(image))
    return f"./{name}" if ":" in name.partition("/")[0] else name


def free_target(taken: Iterable[str], bus: Bus = Bus.VIRTIO) -> str | None:
    """Return the next free name of a disk inside a guest: vda, vdb …; None when all are taken."""
    used = set(taken)
    return next((target for target in bus.targets if target not in used), None)


def bus_of(target: str) -> Bus:
    """Return how a disk is attached, from what the guest calls it."""
    return Bus.IDE if target in Bus.IDE.targets else Bus.VIRTIO


def chain(images: Mapping[str, ImageFacts], path: str) -> tuple[ImageFacts, ...]:
    """Return an image and all the images below it, top → base; it ends where a file is missing."""
    layers: dict[str, ImageFacts] = {}
    image = images.get(path)
    while image is not None and image.path not in layers:
        layers[image.path] = image
        image = images.get(image.backing) if image.backing else None
    return tuple(layers.values())


def name_of(images: Mapping[str, ImageFacts], disk: DiskSpec) -> str:
    """Return a disk's name from its image's file name, or from the layers below if another tool has named the image."""
    ours = (layer.path for layer in chain(images, disk.path) if image_number(layer.path) >= 0)
    return disk_name(next(ours, disk.path)) if image_number(disk.path) < 0 and not disk.served else disk.name


def find_missing(images: Mapping[str, ImageFacts], path: str) -> str | None:
    """Return the missing image of a chain: its first one, or the one its last one stands on; None if it is whole."""
    layers = chain(images, path)
    lost = layers[-1].backing if layers else path
    return lost if lost is not None and lost not in images else None


def layer_paths(images: Mapping[str, ImageFacts], path: str) -> tuple[str, ...]:
    """Return the paths of an image and all it needs, top → base, including a missing one at the end."""
    lost = find_missing(images, path)
    return (*(layer.path for layer in chain(images, path)), *(() if lost is None else (lost,)))


def find_disks(
    machines: Mapping[str, MachineFacts],
    images: Mapping[str, ImageFacts],
    kept: Iterable[str] = (),
    served: Mapping[str, str] | None = None,
    *,
    lacking: Collection[str] = (),
    outside: Mapping[str, ImageFacts] | None = None,
) -> dict[str, DiskFacts]:
    """Return the disks of a lab by name, sorted: those attached, and the free ones.

    A free disk's active image is one that nothing depends on and no machine uses; of several with the same disk name,
    the newest is the disk.

    Args:
        kept: images that snapshots keep, which are not disks. served: sockets of served disks, by name.
        lacking: names of attached disks that lack an image. Another image with such a name is what that disk once was
            (an older folder under newer definitions), not a disk of its own.
        outside: images outside the lab's folder that attached disks read, by path.
    """
    readable = {**images, **(outside or {})}
    disks: dict[str, DiskFacts] = {}
    attached = [(machine.name, disk) for machine in machines.values() for disk in machine.spec.disks]
    for machine, disk in attached:
        if layers := chain(readable, disk.path):
            name = name_of(readable, disk)
            disks[name] = DiskFacts(name=name, layers=layers, machine=machine, target=disk.target)
    used = {disk.path for _machine, disk in attached}
    used |= {image.backing for image in readable.values() if image.backing} | set(kept)
    for path in sorted(set(images) - used, key=image_number):
        name = disk_name(path)
        if name not in lacking and (name not in disks or disks[name].machine is None):
            disks[name] = DiskFacts(name=name, layers=chain(images, path), socket=(served or {}).get(name))
    for machine, disk in attached:
        if disk.served and disk.name in disks:
            disks[disk.name] = replace(disks[disk.name], machine=machine, target=disk.target, socket=disk.path)
    return dict(sorted(disks.items()))
