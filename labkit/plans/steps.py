"""The closed set of steps plans are made of.

Each step says what a person would type (`command`), names the files it touches, and belongs to a phase.
Phases run in order: *create* (can be undone), *switch* (the first is the commit point: from there only
forward), *clean up*.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineChanges, MachineSpec
from labkit.units import KIB


class Phase(StrEnum):
    """When a step runs, and what its failure means."""

    CREATE = "create"
    SWITCH = "switch"
    CLEAN_UP = "clean up"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyImage:
    """Copy an image file; shares blocks with the source where the file system can."""

    source: str
    target: str
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("cp", "--reflink=auto", "--sparse=always", self.source, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMessage:
    """Write a text into an image at a fixed place, padded with zeros to `length` bytes."""

    path: str
    offset: int
    length: int
    text: str
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        dd = _line("dd", f"of={self.path}", "bs=1", f"seek={self.offset}", "conv=notrunc")
        return f"printf %s {shlex.quote(self.text)} | {dd}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage:
    """Create an empty image; a fixed one is written with zeros all through.

    Attributes:
        path: absolute. capacity: bytes. bytes: what is written at once.
        cluster_size: bytes, or None for the format's default. extended_l2: subclusters (qcow2).
    """

    path: str
    format: Format
    capacity: int
    allocation: Allocation
    bytes: int = 0
    cluster_size: int | None = None
    extended_l2: bool = False
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        options = image_options(self.format, self.allocation)
        if self.cluster_size:
            options.append(f"cluster_size={self.cluster_size}")
        if self.extended_l2:
            options.append("extended_l2=on")
        chosen = ["-o", ",".join(options)] if options else []
        return _line("qemu-img", "create", "-f", self.format.driver, *chosen, self.path, str(self.capacity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertImage:
    """Copy the content of a chain of images into one new image that stands alone.

    Attributes:
        source, target: absolute paths. capacity: bytes, at least the source's. bytes: what is copied, about.
    """

    source: str
    source_format: Format
    target: str
    target_format: Format
    allocation: Allocation
    capacity: int
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        options = image_options(self.target_format, self.allocation)
        chosen = ["-o", ",".join(options)] if options else []
        formats = ["-f", self.source_format.driver, "-O", self.target_format.driver]
        return _line("qemu-img", "convert", "-p", *formats, *chosen, self.source, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowImage:
    """Give an image more capacity, in place; a running guest sees it at once.

    Attributes:
        machine_id, domain, target: of the running machine it is attached to, or None.
        bytes: what is written at once (a fixed image).
    """

    path: str
    format: Format
    capacity: int
    allocation: Allocation
    bytes: int = 0
    machine_id: str | None = None
    domain: str | None = None
    disk_target: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        if self.domain and self.disk_target:
            return _line("virsh", "blockresize", self.domain, self.disk_target, f"{self.capacity}B")
        return _line("qemu-img", "resize", "-f", self.format.driver, self.path, str(self.capacity))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDisk:
    """Attach a disk to a machine, to the running guest as well as to the definition."""

    machine_id: str
    domain: str
    disk: DiskSpec
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        driver = ["--driver", "qemu", "--subdriver", self.disk.format.driver]
        return _line("virsh", "attach-disk", self.domain, self.disk.path, self.disk.target, *driver, "--persistent")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachDisk:
    """Take a disk from a machine, from the running guest as well as from the definition."""

    machine_id: str
    domain: str
    target: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("virsh", "detach-disk", self.domain, self.target, "--persistent")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepointDisk:
    """Let a machine that is off use another image for a disk."""

    machine_id: str
    domain: str
    disk: DiskSpec
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        edit = f"target.dev={self.disk.target}"
        return _line("virt-xml", self.domain, "--edit", edit, "--disk", f"path={self.disk.path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineMachine:
    """Make a new machine known to the hypervisor."""

    spec: MachineSpec
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("virsh", "define", f"{self.spec.domain_name}.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureMachine:
    """Change a machine's definition; a running guest sees it at its next start."""

    machine_id: str
    domain: str
    changes: MachineChanges
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = []
        if self.changes.memory is not None:
            kib = f"{self.changes.memory // KIB}KiB"
            lines += [
                _line("virsh", "setmaxmem", self.domain, kib, "--config"),
                _line("virsh", "setmem", self.domain, kib, "--config"),
            ]
        if self.changes.vcpus is not None:
            count = str(self.changes.vcpus)
            lines += [
                _line("virsh", "setvcpus", self.domain, count, "--config", "--maximum"),
                _line("virsh", "setvcpus", self.domain, count, "--config"),
            ]
        if self.changes.cpu_model is not None:
            lines.append(_line("virt-xml", self.domain, "--edit", "--cpu", self.changes.cpu_model))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameMachine:
    """Give a machine another name; its images keep theirs."""

    machine_id: str
    old: str
    new: str
    old_domain: str
    new_domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("virsh", "domrename", self.old_domain, self.new_domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPower:
    """End the machine's QEMU process as a power cut would."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("virsh", "destroy", self.domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefineMachine:
    """Make the hypervisor forget a machine, its saved memory included; its images stay."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("virsh", "undefine", self.domain, "--managed-save", "--snapshots-metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFiles:
    """Delete files that nothing needs any more.

    Attributes:
        paths: absolute; bytes: what they give back to the host.
    """

    paths: tuple[str, ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.CLEAN_UP

    @property
    def command(self) -> str:
        """What a person would type."""
        return _line("rm", "-f", *self.paths)


Step = (
    CopyImage
    | WriteMessage
    | CreateImage
    | ConvertImage
    | GrowImage
    | AttachDisk
    | DetachDisk
    | RepointDisk
    | DefineMachine
    | ConfigureMachine
    | RenameMachine
    | CutPower
    | UndefineMachine
    | DeleteFiles
)


def image_options(format: Format, allocation: Allocation) -> list[str]:
    """Return the options by which `qemu-img create` and `convert` make a fixed or a dynamic image."""
    fixed = {
        Format.RAW: ["preallocation=full"],
        Format.QCOW2: ["preallocation=full"],
        Format.VDI: ["static=on"],
        Format.VMDK: ["subformat=monolithicFlat"],
        Format.VHD: ["subformat=fixed"],
        Format.VHDX: ["subformat=fixed"],
    }
    return list(fixed[format]) if allocation is Allocation.FIXED else []


def _line(*words: str) -> str:
    return shlex.join(words)
