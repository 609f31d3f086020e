"""Steps that make clones, and that make them independent again.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.disk import backing_name
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.plans.steps.base import Phase, line


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkImages:
    """Create differencing images on one frozen image, one for each clone: empty, all is read from below.

    Attributes:
        paths: absolute, in the order of the clones.
    """

    paths: tuple[str, ...]
    backing: str
    backing_format: Format
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def targets(self) -> tuple[str, ...]:
        """The files it makes."""
        return self.paths

    @property
    def command(self) -> str:
        """What a person would type."""
        below = ["-b", backing_name(self.paths[0], self.backing), "-F", self.backing_format.driver]
        return "\n".join(line("qemu-img", "create", "-f", "qcow2", *below, path) for path in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskBackup:
    """A disk of a running guest and the image its content is copied into.

    Attributes:
        target: what the guest calls it. path: absolute. capacity: bytes.
    """

    target: str
    path: str
    format: Format
    allocation: Allocation
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUpDisks:
    """Copy the disks of a running or paused guest, all of one instant, while it goes on.

    Attributes:
        quiesce: whether its agent flushes its file systems at that instant. bytes: about what is written.
    """

    machine_id: str
    domain: str
    disks: tuple[DiskBackup, ...]
    quiesce: bool
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def targets(self) -> tuple[str, ...]:
        """The files it makes."""
        return tuple(disk.path for disk in self.disks)

    @property
    def command(self) -> str:
        """What a person would type."""
        backup = line("virsh", "backup-begin", self.domain, "backup.xml", "--reuse-external")
        if not self.quiesce:
            return backup
        return "\n".join(
            (line("virsh", "domfsfreeze", self.domain), backup, line("virsh", "domfsthaw", self.domain)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseImage:
    """Let a copied image depend on the copy of what its original depends on.

    Attributes:
        exact: whether the image's content must stay, although what is below holds something else; else only the
            name in its header changes, since both hold the same.
    """

    path: str
    backing: str
    backing_format: Format
    exact: bool = False
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        below = ["-b", backing_name(self.path, self.backing), "-F", self.backing_format.driver]
        return line("qemu-img", "rebase", *([] if self.exact else ["-u"]), "-f", "qcow2", *below, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineClones:
    """Make clones known: the definition of a machine or of its snapshot, with other names, ids and disks.

    Attributes:
        source_id, source_domain: the machine they are clones of. snapshot: whose definition they get; None: its own.
        many: whether a number of them was asked for, be it one.
    """

    source_id: str
    source_domain: str
    snapshot: str | None
    specs: tuple[MachineSpec, ...]
    many: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return "\n".join(line("virsh", "define", f"{spec.domain_name}.xml") for spec in self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySnapshots:
    """Give a clone the snapshot tree of its original, on the copies of its images.

    Attributes:
        source_id, source_domain: the original. spec: the clone. paths: (image of the original, its copy).
        names: the snapshots, parents first. current: the one the current state began from, or None.
    """

    source_id: str
    source_domain: str
    spec: MachineSpec
    paths: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    current: str | None
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        create = ["virsh", "snapshot-create", self.spec.domain_name]
        return "\n".join(
            line(*create, f"{self.spec.domain_name}@{name}.xml", "--redefine", *["--current"] * (name == self.current))
            for name in self.names
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PullBases:
    """Copy all that disks of a running guest still read from below up into their active images.

    Attributes:
        disks: the active images, which stand alone then. bases: what each stands on until then.
        bytes: about what is copied.
    """

    machine_id: str
    domain: str
    disks: tuple[DiskSpec, ...]
    bases: tuple[DiskSpec, ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return "\n".join(line("virsh", "blockpull", self.domain, disk.target, "--wait") for disk in self.disks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceImage:
    """Put a new image of the same content in an image's place; what depends on it notices nothing.

    Attributes:
        draft: the new image, absolute. path: its place. frozen: whether it is closed for writing there.
    """

    draft: str
    path: str
    frozen: bool
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("mv", "-f", self.draft, self.path)
