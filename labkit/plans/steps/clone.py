"""Steps that make clones.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.disk import disk_name, extent_path
from labkit.model.image import Allocation, Format
from labkit.model.image_commands import create_argv
from labkit.model.machine import MachineSpec
from labkit.model.snapshot import SnapshotFacts, SnapshotKind
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import (
    make_tree,
    new_image,
    overlay_on,
    tree_by_id,
    with_images,
    with_new_machines,
    with_tree,
)
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Phase,
    Touched,
    below,
    definition_paper,
    fill_lines,
    line,
    lines,
    snapshot_paper,
    written_by,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkImages(BaseStep):
    """Create differencing images on one frozen image, one for each clone: empty, reading everything from below.

    Attributes:
        paths: absolute, in the order of the clones.
    """

    paths: tuple[str, ...]
    backing: str
    backing_format: Format
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        below_them = below(self.paths[0], self.backing, self.backing_format)
        return lines(*(line(*create_argv(path, Format.QCOW2, None, below=below_them)) for path in self.paths))

    @property
    def word(self) -> str:
        return _("making an empty image on another one")

    @property
    def touches(self) -> Touched:
        return Touched(creates=self.paths, stands_on=((self.backing, self.backing_format),))

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return dict.fromkeys(self.paths, Allocation.DYNAMIC)

    def after(self, state: LabState) -> LabState:
        return with_images(state, *(overlay_on(state, path, self.backing, self.backing_format) for path in self.paths))


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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BackUpDisks(BaseStep):
    """Copy the disks of a running or paused guest, all of one instant, while it goes on.

    Attributes:
        quiesce: whether its agent flushes its file systems at that instant. bytes: about how many are written.
    """

    machine_id: str
    domain: str
    disks: tuple[DiskBackup, ...]
    quiesce: bool
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        made = [create_argv(disk.path, disk.format, disk.capacity, disk.allocation) for disk in self.disks]
        fixed = [disk for disk in self.disks if disk.allocation is Allocation.FIXED]
        return lines(
            *(line(*argv) for argv in made),
            line("virsh", "domfsfreeze", self.domain) if self.quiesce else "",
            line("virsh", "backup-begin", self.domain, *self.papers, "--reuse-external"),
            line("virsh", "domfsthaw", self.domain) if self.quiesce else "",
            f"until {line('virsh', 'domjobinfo', self.domain)} | grep -q None; do sleep 0.1; done",
            fill_lines(*(extent_path(disk.path) if disk.format is Format.VMDK else disk.path for disk in fixed)),
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return (f"{self.domain}.backup.xml",)

    @property
    def word(self) -> str:
        return _("copying the disks while the guest goes on")

    @property
    def touches(self) -> Touched:
        return Touched(creates=tuple(disk.path for disk in self.disks), copied=self.bytes)

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {disk.path: disk.allocation for disk in self.disks}

    def after(self, state: LabState) -> LabState:
        each = self.bytes // len(self.disks)
        copies = (
            new_image(disk.path, disk.format, disk.capacity, each, allocation=disk.allocation) for disk in self.disks
        )
        return with_images(state, *copies)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DefineClones(BaseStep):
    """Define clones: by the definition of a machine or of its snapshot, with other names, ids and disks.

    Attributes:
        source_id: the machine they are clones of. snapshot: whose definition they get; None: its own.
        many: whether `count` was given, even if it was 1.
    """

    source_id: str
    snapshot: str | None
    specs: tuple[MachineSpec, ...]
    many: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return lines(*(line("virsh", "define", paper) for paper in self.papers))

    @property
    def papers(self) -> tuple[str, ...]:
        return tuple(definition_paper(spec.domain_name) for spec in self.specs)

    @property
    def word(self) -> str:
        return _("telling the hypervisor of the clones")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=tuple(path for spec in self.specs for path in written_by(spec)))

    def after(self, state: LabState) -> LabState:
        return with_new_machines(state, *self.specs)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CopySnapshots(BaseStep):
    """Give a clone the snapshot tree of its original, on the copies of its images.

    Attributes:
        source_id: the original. spec: the clone. paths: pairs of an original's image and its copy.
        names: the snapshots, parents first. current: the one the current state began from, or None.
    """

    source_id: str
    spec: MachineSpec
    paths: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    current: str | None
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        create = ["virsh", "snapshot-create", self.spec.domain_name]
        return lines(
            *(
                line(*create, paper, "--redefine", *["--current"] * (name == self.current))
                for name, paper in zip(self.names, self.papers, strict=True)
            )
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return tuple(snapshot_paper(self.spec.domain_name, name) for name in self.names)

    @property
    def word(self) -> str:
        return _("copying the snapshots")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=written_by(self.spec))

    def after(self, state: LabState) -> LabState:
        copies, source = dict(self.paths), tree_by_id(state, self.source_id)

        def copied(node: SnapshotFacts) -> SnapshotFacts:
            disks = tuple(
                replace(disk, name=disk_name(path), path=path)
                for disk, path in ((disk, copies.get(disk.path, disk.path)) for disk in node.disks)
            )
            kind = SnapshotKind.DISK_ONLY if node.memory else node.kind
            then = replace(  # the original's configuration at that time, with the clone's identity
                node.spec,
                **{name: getattr(self.spec, name) for name in ("name", "lab", "lab_id", "id", "genid", "console_log")},
                disks=disks,
            )
            return replace(node, spec=then, kind=kind, memory=None)

        nodes = [copied(source[name]) for name in self.names if name in source]
        return with_tree(state, self.spec.id, make_tree(nodes, self.current))
