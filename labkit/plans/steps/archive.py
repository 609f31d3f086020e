"""Steps that write a machine into an archive and bring one from an archive.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.model.image_commands import rebase_argv
from labkit.model.machine import MachineSpec
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.travel import Manifest, SnapshotRecord
from labkit.plans.steps.afterwards import make_tree, new_image, with_images, with_new_machines, with_tree
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Outside,
    Phase,
    Touched,
    below,
    definition_paper,
    fill_lines,
    line,
    lines,
    own_step,
    snapshot_paper,
    written_by,
)
from labkit.printing import quote


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WriteArchive(BaseStep):
    """Write a machine with its snapshots into one file.

    Attributes:
        target: absolute. sources: for each file, its name in the archive and its absolute path. bytes: about how many
            are written.
    """

    target: str
    manifest: Manifest
    sources: tuple[tuple[str, str], ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        names = ", ".join(name for name, _path in self.sources)
        why = _("packs {names} into {archive}, with a list of them all and their hashes, which no line of tar makes.")
        return own_step(why.format(names=names, archive=self.target))

    @property
    def word(self) -> str:
        return _("packing the archive")

    @property
    def touches(self) -> Touched:
        reads = tuple(path for _name, path in self.sources)
        return Touched(
            creates=(self.target,), elsewhere=((Outside.EXPORT, self.target),), reads=reads, copied=self.bytes
        )

    def after(self, state: LabState) -> LabState:
        return state


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackImage(BaseStep):
    """Make a disk image of the lab from one in an archive.

    Attributes:
        names: its files in the archive (a fixed VMDK has two, the descriptor first); targets: their absolute paths
            here; hashes: of the stored bytes.
        backing: absolute path of the image below it, of `backing_format`; None: it is a base.
        full: whether the host gives all of its bytes at once. bytes: what is written.
    """

    archive: str
    names: tuple[str, ...]
    targets: tuple[str, ...]
    hashes: tuple[str, ...]
    format: Format
    capacity: int
    bytes: int
    backing: str | None = None
    backing_format: Format | None = None
    full: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        unpack = [unpack_line(self.archive, *each) for each in zip(self.names, self.targets, strict=True)]
        if len(self.names) > 1:  # the first file names the second
            old, new = posixpath.basename(self.names[1]), posixpath.basename(self.targets[1])
            unpack.append(line("sed", "-i", f's|"{old}"|"{new}"|', self.targets[0]))
        rebase = ""
        if self.backing and self.backing_format:
            below_it = below(self.targets[0], self.backing, self.backing_format)
            rebase = line(*rebase_argv(self.targets[0], below_it, only_name=True))
        return lines(*unpack, rebase, fill_lines(*self.targets) if self.full else "")

    @property
    def word(self) -> str:
        return _("unpacking an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=self.targets, copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        allocation = Allocation.FIXED if self.full else Allocation.DYNAMIC
        stand = (self.backing, self.backing_format) if self.backing and self.backing_format else None
        made = new_image(self.targets[0], self.format, self.capacity, self.bytes, allocation=allocation, below=stand)
        return with_images(state, replace(made, files=self.targets))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackMemory(BaseStep):
    """Unpack the memory of a snapshot, with a definition made by labkit at its beginning.

    Attributes:
        xml, cookie: what will precede QEMU's stream; skip: the bytes that precede it in the archive.
        was_running, compression: numbers from the header of libvirt's save file.
    """

    archive: str
    name: str
    target: str
    sha256: str
    xml: str
    cookie: str
    skip: int
    was_running: int
    compression: int
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        why = _(
            "unpacks {name} as {file} and writes the definition of the machine here before the memory: "
            "virsh save-image-define does not change a name in it."
        )
        return own_step(why.format(name=self.name, file=self.target))

    @property
    def word(self) -> str:
        return _("unpacking the memory")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return replace(state, memories=state.memories | {self.target})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackBootFile(BaseStep):
    """Unpack a kernel or an initramfs that this host does not have yet."""

    archive: str
    name: str
    target: str
    sha256: str
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        return unpack_line(self.archive, self.name, self.target)

    @property
    def word(self) -> str:
        return _("unpacking what it boots from")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), elsewhere=((Outside.BOOT_FILE, self.target),), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return state


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DefineAdopted(BaseStep):
    """Define a machine that came from elsewhere, on the hardware it had, with its snapshots: all or nothing.

    A hypervisor may refuse the record of a snapshot, and would then refuse it every time.

    Attributes:
        spec: the machine. xml: its definition. records: what the hypervisor is told of its snapshots, parents first.
        points: these snapshots as values.
    """

    spec: MachineSpec
    xml: str
    records: tuple[SnapshotRecord, ...] = ()
    points: tuple[SnapshotFacts, ...] = ()
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        definition, *papers = self.papers
        create = ["virsh", "snapshot-create", self.spec.domain_name]
        return lines(
            line("virsh", "define", definition),
            *(
                line(*create, paper, "--redefine", *["--current"] * record.current)
                for record, paper in zip(self.records, papers, strict=True)
            ),
        )

    @property
    def papers(self) -> tuple[str, ...]:
        domain = self.spec.domain_name
        return (definition_paper(domain), *(snapshot_paper(domain, record.name) for record in self.records))

    @property
    def word(self) -> str:
        return _("telling the hypervisor of the machine")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=written_by(self.spec))

    def after(self, state: LabState) -> LabState:
        current = next((record.name for record in self.records if record.current), None)
        return with_tree(with_new_machines(state, self.spec), self.spec.id, make_tree(self.points, current))


def unpack_line(archive: str, name: str, target: str) -> str:
    """Return the command line that takes one file out of an archive."""
    return f"{line('tar', '-xOf', archive, name)} > {quote(target)}"
