"""Steps of snapshots: what libvirt keeps of them, and memory.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.machine import Accelerator, DiskSpec
from labkit.plans.steps.base import Phase, line


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Freeze a machine's disks and go on in overlays; a running guest's memory is kept where a file is named.

    Attributes:
        memory: absolute path of the file for the memory, or None.
        frozen, overlays: the active images before and after, disk by disk.
        console: absolute path of the log of its serial console, whose last line is kept with the memory, or None.
        live: whether the guest runs; quiesce: whether its agent flushes its file systems meanwhile.
        parent: the snapshot that was current before, or None.
    """

    machine_id: str
    domain: str
    name: str
    description: str
    memory: str | None
    frozen: tuple[DiskSpec, ...]
    overlays: tuple[DiskSpec, ...]
    console: str | None = None
    live: bool = False
    quiesce: bool = False
    parent: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        specs = [f"--diskspec={disk.target},file={disk.path}" for disk in self.overlays]
        memory = [f"--memspec=file={self.memory}"] if self.memory else ["--disk-only"]
        quiesce = ["--quiesce"] if self.quiesce and not self.memory else []
        create = ["virsh", "snapshot-create-as", self.domain, self.name, self.description]
        return line(*create, *memory, *quiesce, "--reuse-external", "--atomic", *specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSaved:
    """Delete a machine's saved memory: it is off then."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "managedsave-remove", self.domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineFromSnapshot:
    """Give a machine that is off the configuration of a snapshot, on new overlays.

    Attributes:
        accelerator: who is to run it where the snapshot's cannot be had here, or None.
    """

    machine_id: str
    domain: str
    snapshot: str
    disks: tuple[DiskSpec, ...]
    accelerator: Accelerator | None = None
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "define", f"{self.domain}@{self.snapshot}.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCurrent:
    """Let the current state begin from a snapshot, in libvirt's tree too."""

    machine_id: str
    domain: str
    snapshot: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "snapshot-current", self.domain, self.snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMemory:
    """Let the guest go on from a snapshot's memory, on new overlays.

    Attributes:
        paused: it stays paused. saved: it is left saved, to go on when it is started.
    """

    machine_id: str
    domain: str
    memory: str
    disks: tuple[DiskSpec, ...]
    paused: bool = False
    saved: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        state = "--paused" if self.paused or self.saved else "--running"
        restore = line("virsh", "restore", self.memory, "--xml", f"{self.domain}.xml", state)
        return f"{restore}\n{line('virsh', 'managedsave', self.domain)}" if self.saved else restore


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSnapshot:
    """Drop libvirt's record of a snapshot; its children become those of its parent.

    Attributes:
        then_current: the snapshot the current state begins from afterwards; None: whichever did before.
    """

    machine_id: str
    domain: str
    snapshot: str
    then_current: str | None = None
    phase: ClassVar[Phase] = Phase.CLEAN_UP

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "snapshot-delete", self.domain, self.snapshot, "--metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviveSnapshot:
    """Make a snapshot known again that libvirt was made to forget; its images and its memory are still there.

    Attributes:
        xml: what libvirt kept of it. parent: the snapshot before it that there is still, or None.
        frozen: its images.
    """

    machine_id: str
    domain: str
    snapshot: str
    xml: str
    parent: str | None
    frozen: tuple[DiskSpec, ...]
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "snapshot-create", self.domain, f"{self.snapshot}.xml", "--redefine")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelSnapshot:
    """Give a snapshot another name or description.

    Attributes:
        current: whether the current state begins from it.
    """

    machine_id: str
    domain: str
    old: str
    new: str
    description: str | None
    current: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        edit = ["virsh", "snapshot-edit", self.domain, self.old]
        return line(*edit, "--rename") if self.new != self.old else line(*edit)
