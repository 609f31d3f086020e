"""`LabState`: everything a lab is at one instant, as one value.

It is read, never stored: libvirt and the image headers are the database. Plans are pure functions of it.
Knows: the other values. Must not know: where they were read from.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from labkit.model.disk import DiskFacts, disk_name, find_disks, find_missing
from labkit.model.image import GuestImage, ImageFacts
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.mapped import files_beside
from labkit.model.record import LostPoint, MadeFor
from labkit.model.replaced import Replaced
from labkit.model.snapshot import SnapshotTree


def alive_among(images: Mapping[str, ImageFacts], roots: Iterable[str]) -> frozenset[str]:
    """Return the images that some roots need, themselves included; roots that are not among `images` are ignored."""
    alive: set[str] = set()
    for root in roots:
        path: str | None = root
        while path is not None and path in images and path not in alive:
            alive.add(path)
            path = images[path].backing
    return frozenset(alive)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAct:
    """An act that has begun and not ended.

    Attributes:
        act: the verb, e.g. "create". subject: the name it is about. names: those of the machines it reads and changes.
        done, steps: how many of its steps are done, and how many it has.
        at_work: whether somebody is carrying it out; else it was interrupted, and the next act ends it.
    """

    act: str
    subject: str
    names: tuple[str, ...]
    done: int
    steps: int
    at_work: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LabState:
    """A lab at one instant.

    Attributes:
        lab, lab_id, home: its name, id and folder (absolute).
        machines: by name, sorted.
        snapshots: the trees of the machines that have any, by machine name.
        images: the disk images in the lab's folder, by absolute path.
        guest_images: what new machines can be made of, by name.
        taken_names: the names of this hypervisor's domains that do not belong to this lab.
        busy: the names of machines that an act is at work on, in this or another process.
        acts: the acts under way or interrupted, the one with the latest progress last.
        memories: the files in the lab's folder with memory of snapshots, and those to map it.
        served: the sockets of the disks that are served as another machine's storage, by disk name.
        strays: other files in the lab's folders, which labkit cannot account for, absolute paths.
        damaged: files that have an image's name, or are needed as images, and cannot be read as such.
        replaced: those of them that are not files, and what they are.
        stray_bytes: the bytes that the host gives each stray.
        claimed: images that domains of others need, or that files outside the lab's folder stand on.
        outside: images outside the lab's folder that its own definitions and snapshots need, by path.
        pending: files that acts in the journal name; whether they are needed is known when those acts have ended.
        given: files that seals and definitions name, whether they are there or not.
        sealed: whether there are any seals, that is, whether anything is known of the frozen images as they froze.
        made: what images were made for, as the record says, by path.
        forgotten: what the record says of images whose snapshot libvirt was made to forget, by path.
        aside: by path, the images named in records that were put aside when another state of the folder was brought
            back. They are never dead, since somebody may still go back to such a record.
        unreturned: files of machines that the record knows and no hypervisor does: the machine's name by path. The
            images among them are not free disks.
        unsettled: whether other acts kept changing the lab while it was read: such a state may be shown, but not
            planned on.
        instance: the hypervisor instance all this is seen from, "" for the session's own.
        elsewhere, elsewhere_snapshots: machines of the lab on its other instances, and their trees, by name.
        places: the instance that each of those machines is on, by machine name.
        instances: the folders of the lab's other instances, by name.
        unreachable: why an instance could not be asked, by its name; its machines are then read from the definitions it
            has stored.
    """

    lab: str
    lab_id: str
    home: str
    machines: Mapping[str, MachineFacts] = field(default_factory=dict)
    snapshots: Mapping[str, SnapshotTree] = field(default_factory=dict)
    images: Mapping[str, ImageFacts] = field(default_factory=dict)
    guest_images: Mapping[str, GuestImage] = field(default_factory=dict)
    taken_names: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    acts: tuple[OpenAct, ...] = ()
    strays: tuple[str, ...] = ()
    damaged: frozenset[str] = frozenset()
    replaced: Mapping[str, Replaced] = field(default_factory=dict)
    stray_bytes: Mapping[str, int] = field(default_factory=dict)
    memories: frozenset[str] = frozenset()
    served: Mapping[str, str] = field(default_factory=dict)
    instance: str = ""
    elsewhere: Mapping[str, MachineFacts] = field(default_factory=dict)
    elsewhere_snapshots: Mapping[str, SnapshotTree] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, str] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    claimed: frozenset[str] = frozenset()
    outside: Mapping[str, ImageFacts] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    given: frozenset[str] = field(default=frozenset(), compare=False)
    made: Mapping[str, MadeFor] = field(default_factory=dict, compare=False)
    forgotten: Mapping[str, LostPoint] = field(default_factory=dict)
    aside: Mapping[str, LostPoint] = field(default_factory=dict)
    unreturned: Mapping[str, str] = field(default_factory=dict)
    sealed: bool = True
    unsettled: bool = False
    _found: list[Mapping[str, DiskFacts]] = field(default_factory=list, init=False, repr=False, compare=False)
    _sets: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def everywhere(self) -> Mapping[str, MachineFacts]:
        """The lab's machines by name, on whatever instance."""
        return {**self.elsewhere, **self.machines}

    def tree_of(self, machine: str) -> SnapshotTree:
        """Return the snapshots of a machine of this hypervisor instance; an empty tree where it has none."""
        return self.snapshots.get(machine, SnapshotTree())

    @property
    def every_tree(self) -> Mapping[str, SnapshotTree]:
        """The trees of the lab's machines that have snapshots, by machine name, on whatever instance."""
        return {**self.elsewhere_snapshots, **self.snapshots}

    @property
    def disks(self) -> Mapping[str, DiskFacts]:
        """The lab's disks by name, sorted: attached and free. Found once and kept, since plans ask many times."""
        if not self._found:
            kept = self.kept | self.claimed | self.unreturned.keys() | self.aside.keys() | self.remembered()
            self._found.append(
                find_disks(
                    self.everywhere,
                    self.images,
                    kept,
                    self.served,
                    lacking=self._lacking(),
                    outside=self.outside,
                )
            )
        return self._found[0]

    def _lacking(self) -> frozenset[str]:
        """The names of attached disks that lack an image, whichever program named their images."""
        folder = posixpath.join(self.home, "disks", "")
        found: set[str] = set()
        for name, machine in self.everywhere.items():
            nodes = self.every_tree.get(name, SnapshotTree()).nodes.values()
            for disk in (disk for disk in machine.spec.disks if not disk.served):
                lost = find_missing(self.images, disk.path)
                if lost and lost.startswith(folder) and lost not in self.pending:
                    kept = [each for node in nodes for each in node.disks if each.target == disk.target]
                    found |= {each.name for each in (disk, *kept)} | {disk_name(each.path) for each in (disk, *kept)}
        return frozenset(found)

    @property
    def readable(self) -> Mapping[str, ImageFacts]:
        """All images that disks read, by path: those in the lab's folder, and those outside."""
        return {**self.images, **self.outside} if self.outside else self.images

    @property
    def kept(self) -> frozenset[str]:
        """The images that snapshots keep, frozen."""
        nodes = (node for tree in self.every_tree.values() for node in tree.nodes.values())
        return frozenset(disk.path for node in nodes for disk in node.disks)

    @property
    def roots(self) -> frozenset[str]:
        """The images that somebody needs: those of snapshots, active ones of machines and free disks, claimed ones."""
        return self.claims | frozenset(
            disk.active.path for disk in self.disks.values() if disk.machine is None or disk.socket
        )

    @property
    def claims(self) -> frozenset[str]:
        """The roots without the free disks: what a definition or a snapshot on any instance names, or others claim."""
        machines = (*self.machines.values(), *self.elsewhere.values())
        active = (disk.path for machine in machines for disk in machine.spec.disks)
        live = (disk.path for machine in machines if machine.live for disk in machine.live.disks)
        return frozenset((*active, *live)) | self.kept | self.claimed

    @property
    def alive(self) -> frozenset[str]:
        """The images that a root needs, itself included."""
        if "alive" not in self._sets:
            self._sets["alive"] = alive_among(self.images, self.roots)
        return self._sets["alive"]

    @property
    def needed(self) -> frozenset[str]:
        """Every file that a definition or a snapshot on any instance names: images, saved memory, console logs."""
        nodes = [node for tree in self.every_tree.values() for node in tree.nodes.values()]
        specs = (*(machine.spec for machine in self.everywhere.values()), *(node.spec for node in nodes))
        memories = (node.memory for node in nodes if node.memory)
        return self.claims.union(memories, (spec.console_log for spec in specs if spec.console_log))

    @property
    def named(self) -> frozenset[str]:
        """Every path that a file has, or that anything names: a new file never gets one of these."""
        if "named" not in self._sets:
            backings = (image.backing for image in self.images.values() if image.backing)
            files = (file for image in self.images.values() for file in image.files)
            loose = (*self.strays, *self.memories, *self.pending, *self.given)
            self._sets["named"] = self.needed.union(self.images, backings, files, loose)
        return self._sets["named"]

    def remembered(self, *, but: str = "") -> frozenset[str]:
        """Return the images of snapshots that libvirt was made to forget and that the record still knows.

        They are no roots, since nobody can be brought back to them as it is; no free disks, and no act's to delete or
        to rewrite, since the machine can have such a snapshot again.

        Args:
            but: the id of a machine that goes, and its snapshots with it.
        """
        known = {machine.id for machine in self.everywhere.values()} - {but}
        points = self.forgotten.items()
        return frozenset(path for path, point in points if point.snapshot is not None and point.machine_id in known)

    def beside(self, memories: Iterable[str | None]) -> tuple[str, ...]:
        """Return the existing files to map the memory of snapshots."""
        return tuple(path for path in files_beside(memories) if path in self.memories)

    def find_machine(self, machine_id: str) -> MachineFacts | None:
        """Return the machine with this id on this instance, or None."""
        return next((facts for facts in self.machines.values() if facts.id == machine_id), None)

    def with_stand(self, machine_id: str, state: MachineState, reason: Reason) -> LabState:
        """Return the lab with one machine in another state and everything else unchanged."""
        active = state in (MachineState.RUNNING, MachineState.PAUSED)
        machines = {
            name: replace(each, state=state, reason=reason, live=(each.live or each.spec) if active else None)
            if each.id == machine_id
            else each
            for name, each in self.machines.items()
        }
        return replace(self, machines=machines)

    def fingerprint(self, names: Iterable[str], disks: Iterable[str] = ()) -> str:
        """Return a digest of what the plans about these machines and disks have read: equal means unchanged.

        Sizes that grow while a guest writes are left out.
        """
        digest = hashlib.sha256(b"unsettled" if self.unsettled else b"")
        paths: list[str] = []
        names = sorted(set(names))
        for name in names:
            machine = self.machines.get(name)
            tree = self.snapshots.get(name)
            digest.update(repr((name, machine, tree, name in self.taken_names, name in self.elsewhere)).encode())
            paths += [disk.path for disk in machine.spec.disks] if machine else []
        everything = self.disks if disks else {}
        for name in sorted(set(disks)):
            disk = everything.get(name)
            digest.update(repr((name, disk and (disk.machine, disk.target))).encode())
            paths += [layer.path for layer in disk.layers] if disk else []
        named = set(paths) | {
            disk.path for name in names for node in self.snapshots.get(name, {}).values() for disk in node.disks
        }
        above = sorted(image.path for image in self.images.values() if image.backing in named)
        digest.update(repr(above).encode())  # the images that have come to depend on them
        for image in map(self.images.get, paths):
            digest.update(repr(image and (image.path, image.format, image.capacity, image.backing)).encode())
        return digest.hexdigest()
