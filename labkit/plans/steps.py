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

from labkit.model.machine import MachineChanges, MachineSpec
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
            model = f"custom,model={self.changes.cpu_model}" if self.changes.cpu_model else "clearxml=yes"
            lines.append(_line("virt-xml", self.domain, "--edit", "--cpu", model))
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
    | DefineMachine
    | ConfigureMachine
    | RenameMachine
    | CutPower
    | UndefineMachine
    | DeleteFiles
)


def _line(*words: str) -> str:
    return shlex.join(words)
