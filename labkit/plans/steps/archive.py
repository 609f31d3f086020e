"""Steps that carry a machine into a file and out of one.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from labkit.model.disk import backing_name
from labkit.model.image import Format
from labkit.model.machine import MachineSpec
from labkit.model.travel import Manifest, SnapshotRecord
from labkit.plans.steps.base import Phase, line


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteArchive:
    """Write a machine with its snapshots into one file.

    Attributes:
        target: absolute. sources: for each file, its name in the archive and its absolute path. bytes: about, in all.
    """

    target: str
    manifest: Manifest
    sources: tuple[tuple[str, str], ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("tar", "--sparse", "-cf", self.target, *(path for _name, path in self.sources))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackImage:
    """Make a disk image of the lab from one in an archive.

    Attributes:
        names: its files in the archive, its own first; targets: where they go, absolute; hashes: of what is stored.
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

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = [unpack_line(*each) for each in zip((self.archive,) * 2, self.names, self.targets, strict=False)]
        if self.backing and self.backing_format:
            below = ["-b", backing_name(self.targets[0], self.backing), "-F", self.backing_format.driver]
            lines.append(line("qemu-img", "rebase", "-u", "-f", "qcow2", *below, self.targets[0]))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackMemory:
    """Bring the memory of a snapshot from an archive, with a definition of ours before it.

    Attributes:
        xml, cookie: what stands before QEMU's stream from now on; skip: bytes that stood there.
        was_running, compression: the hypervisor's numbers.
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

    @property
    def command(self) -> str:
        """What a person would type."""
        edit = line("virsh", "save-image-edit", self.target)
        return f"{unpack_line(self.archive, self.name, self.target)}\n{edit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackBootFile:
    """Bring a kernel or an initramfs that is not here yet."""

    archive: str
    name: str
    target: str
    sha256: str
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return unpack_line(self.archive, self.name, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineAdopted:
    """Make a machine known that came from elsewhere, on the hardware it had, with its snapshots: all or nothing.

    A hypervisor may refuse what an archive tells of a snapshot, and would refuse it for ever.

    Attributes:
        spec: the machine. xml: its definition. records: what the hypervisor is told of its snapshots, parents first.
    """

    spec: MachineSpec
    xml: str
    records: tuple[SnapshotRecord, ...] = ()
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = [line("virsh", "define", f"{self.spec.domain_name}.xml")]
        for record in self.records:
            current = ["--current"] if record.current else []
            create = ["virsh", "snapshot-create", self.spec.domain_name, f"{record.name}.xml"]
            lines.append(line(*create, "--redefine", *current))
        return "\n".join(lines)


def unpack_line(archive: str, name: str, target: str) -> str:
    """Return the line that takes one file out of an archive."""
    return f"{line('tar', '-xOf', archive, name)} > {shlex.quote(target)}"
