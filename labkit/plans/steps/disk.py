"""Steps that attach and detach disks.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.disk import Bus, bus_of
from labkit.model.machine import DiskSpec
from labkit.plans.steps.base import Phase, line


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
        if bus_of(self.disk.target) is not Bus.VIRTIO:
            driver += ["--targetbus", bus_of(self.disk.target)]
        return line("virsh", "attach-disk", self.domain, self.disk.path, self.disk.target, *driver, "--persistent")


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
        return line("virsh", "detach-disk", self.domain, self.target, "--persistent")


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
        return line("virt-xml", self.domain, "--edit", edit, "--disk", f"path={self.disk.path}")
