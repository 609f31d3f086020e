"""Orphans: files in the lab's folder that nobody needs, and why; and snapshots that only the record still knows.

No act touches them. They arise when something other than labkit made libvirt or the folder forget what they were: virsh
dropped a snapshot's metadata, a machine was undefined by hand, an older state of the folder was brought back.

Knows: the state. Must not know: how files are read, what is done with orphans.
"""

from __future__ import annotations

import posixpath
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.language import _
from labkit.model.disk import disk_name, layer_paths
from labkit.model.image import ImageFacts
from labkit.model.record import LostPoint
from labkit.model.state import LabState, alive_among
from labkit.units import format_size


class OrphanKind(StrEnum):
    """What kind of file it is."""

    IMAGE = "image"
    MEMORY = "memory"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanFacts:
    """A file that nobody needs.

    Attributes:
        path: absolute. files: all files of it (a fixed VMDK is two). allocated: bytes the host gives them.
        disk: the name of the disk it was made for, from its file name; "" if it is not an image.
        machine: the machine that has a disk of that name now, or None.
        snapshot: the name of the snapshot that kept it, if the lab's record knows one.
        aside: whether it is named by a record that was put aside when another state of the folder was brought back.
        unreturned: the machine that it belongs to, if the record knows that machine and libvirt does not.
        chain: the images that it stands on, top → base; the last one is named even if it is gone.
        above: the images that stand on it, by path.
        in_use: whether a machine or a snapshot stands on it: only the snapshot that kept it is nobody's.
    """

    path: str
    kind: OrphanKind
    files: tuple[str, ...]
    allocated: int
    disk: str = ""
    machine: str | None = None
    snapshot: str | None = None
    aside: bool = False
    unreturned: str | None = None
    chain: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    in_use: bool = False

    @property
    def name(self) -> str:
        """The name of its file, used as its key; with the folder if it is not in the folder of images."""
        folder, name = posixpath.split(self.path)
        return name if posixpath.basename(folder) == "disks" else f"{posixpath.basename(folder)}/{name}"

    @property
    def why(self) -> str:
        """Why it has no owner, in a sentence."""
        if self.unreturned:
            return _("It is of {machine}, which the lab's record knows and libvirt does not.").format(
                machine=self.unreturned
            )
        if self.aside:
            return _("A record of the folder names it that was put aside; `labkit lab restore` takes that record.")
        if self.in_use:
            return _(
                "It is the snapshot {name} of {machine}, which another program made libvirt forget; it is in use."
            ).format(name=self.snapshot, machine=self.machine)
        if self.snapshot:
            return _("It is the snapshot {name} of {machine}, which another program made libvirt forget.").format(
                name=self.snapshot, machine=self.machine
            )
        if self.kind is OrphanKind.MEMORY:
            return _("Memory of a guest that no snapshot names.")
        if self.kind is OrphanKind.OTHER:
            return _("A file that is not a disk image, or that cannot be read as one.")
        if self.machine:
            return _("Made for {disk} of {machine}, but no snapshot of it names it.").format(
                disk=self.disk, machine=self.machine
            )
        return _("Made for the disk {disk}, which is in use no more.").format(disk=self.disk)

    @property
    def where(self) -> str:
        """Which chain of images it belongs to, in a sentence; "" for what stands alone."""
        below = " → ".join(map(posixpath.basename, self.chain))
        above = ", ".join(map(posixpath.basename, self.above))
        if below and above:
            return _("It stands on {below}, and on it: {above}.").format(below=below, above=above)
        if below:
            return _("It stands on {below}.").format(below=below)
        return _("On it: {above}.").format(above=above) if above else ""

    @property
    def sentence(self) -> str:
        """Its size, why it has no owner, and which chain it belongs to."""
        return " ".join(filter(None, (f"{format_size(self.allocated)}.", self.why, self.where)))


def find_orphans(state: LabState) -> dict[str, OrphanFacts]:
    """Return the files that nobody needs, by file name, sorted; without those that acts are at work with.

    A snapshot that only the record still knows is shown by its image also where a machine still stands on that.
    """
    lost = [image for path, image in state.images.items() if path not in state.alive and path not in state.pending]
    found = [*(_image(state, image) for image in lost), *(_stray(state, path) for path in state.strays)]
    found += _stood_on(state, {orphan.path for orphan in found})
    return {orphan.name: orphan for orphan in sorted(found, key=lambda orphan: orphan.name)}


def _stood_on(state: LabState, shown: AbstractSet[str]) -> list[OrphanFacts]:
    """The images of forgotten snapshots that no file of which is shown, since a machine or a snapshot needs them all.

    One that a machine writes to is no snapshot any more.
    """
    written = {disk.path for machine in state.everywhere.values() for disk in machine.spec.disks}
    paths = (state.remembered() & state.images.keys()) - state.pending - state.kept - written
    if not paths:
        return []
    needed = alive_among(state.images, state.claims)
    parts = {path: (*parts_of(state, state.forgotten[path]), state.forgotten[path].memory) for path in paths & needed}
    return [
        replace(_image(state, state.images[path]), in_use=True)
        for path, files in parts.items()
        if not shown & set(files)
    ]


def _image(state: LabState, image: ImageFacts) -> OrphanFacts:
    disk = disk_name(image.path)
    holder = state.disks.get(disk)
    point = find_point(state, image.path)
    owners = _owners(state, point)
    return OrphanFacts(
        path=image.path,
        kind=OrphanKind.IMAGE,
        files=image.files,
        allocated=image.allocated,
        disk=disk,
        machine=owners[0] if owners else holder.machine if holder else None,
        snapshot=point.snapshot if point and owners else None,
        aside=image.path in state.aside,
        unreturned=state.unreturned.get(image.path),
        chain=layer_paths(state.images, image.path)[1:],
        above=tuple(sorted(path for path, other in state.images.items() if other.backing == image.path)),
    )


def find_point(state: LabState, path: str) -> LostPoint | None:
    """Return what the record says of the snapshot that kept an image or a memory file; None if it says nothing."""
    memories = (point for point in state.forgotten.values() if point.memory == path)
    return state.forgotten.get(path) or next(memories, None)


def parts_of(state: LabState, point: LostPoint) -> tuple[str, ...]:
    """Return the images that a snapshot known from the record kept, disk by disk, whether they exist or not."""
    whose = (point.machine_id, point.xml)
    return tuple(path for path, each in state.forgotten.items() if (each.machine_id, each.xml) == whose)


def _owners(state: LabState, point: LostPoint | None) -> list[str]:
    return [machine.name for machine in state.machines.values() if point and machine.id == point.machine_id]


def _stray(state: LabState, path: str) -> OrphanFacts:
    point = find_point(state, path)
    owners = _owners(state, point)
    memory = path.startswith(posixpath.join(state.home, "memory", ""))
    return OrphanFacts(
        path=path,
        kind=OrphanKind.MEMORY if memory else OrphanKind.OTHER,
        files=(path, *state.beside([path])),
        allocated=state.stray_bytes.get(path, 0),
        machine=owners[0] if owners else None,
        snapshot=point.snapshot if point and owners else None,
        unreturned=state.unreturned.get(path),
    )
