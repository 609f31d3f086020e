"""Steps on a machine's definition and power.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.machine import MachineChanges, MachineSpec
from labkit.plans.steps.base import Phase, line
from labkit.units import KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineMachine:
    """Make a new machine known to the hypervisor."""

    spec: MachineSpec
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "define", f"{self.spec.domain_name}.xml")


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
                line("virsh", "setmaxmem", self.domain, kib, "--config"),
                line("virsh", "setmem", self.domain, kib, "--config"),
            ]
        if self.changes.vcpus is not None:
            count = str(self.changes.vcpus)
            lines += [
                line("virsh", "setvcpus", self.domain, count, "--config", "--maximum"),
                line("virsh", "setvcpus", self.domain, count, "--config"),
            ]
        if self.changes.cpu_model is not None:
            lines.append(line("virt-xml", self.domain, "--edit", "--cpu", self.changes.cpu_model))
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
        return line("virsh", "domrename", self.old_domain, self.new_domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPower:
    """End the machine's QEMU process as a power cut would."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "destroy", self.domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefineMachine:
    """Make the hypervisor forget a machine, its saved memory included; its images stay."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("virsh", "undefine", self.domain, "--managed-save", "--snapshots-metadata")
