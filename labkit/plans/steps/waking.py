"""Steps of clones that go on from a snapshot's memory instead of booting.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.machine import MachineSpec
from labkit.plans.steps.base import Phase, line


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyMemory:
    """Copy the file with a snapshot's memory: one copy is enough for any number of clones, one after the other.

    Attributes:
        source, target: absolute. bytes: what is written.
    """

    source: str
    target: str
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("cp", "--reflink=auto", self.source, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeClones:
    """Let clones that are off go on from a snapshot's memory, each as somebody else, all at the same moment.

    The file begins with the definition of the machine whose memory it holds; each clone's own is written there before
    it is restored. Who cannot go on from it boots.

    Attributes:
        source_id, snapshot: the machine and the snapshot they are clones of. memory: its memory, absolute, which is
            only read. copy: a copy of it, absolute. specs: the clones.
        renew: whether each guest is told who it is now; else they are twins. host_bytes: of memory all will take.
        seconds: about what it takes.
    """

    source_id: str
    snapshot: str
    memory: str
    copy: str
    specs: tuple[MachineSpec, ...]
    renew: bool
    host_bytes: int
    seconds: float
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = []
        for spec in self.specs:
            lines.append(line("dd", f"if={spec.domain_name}.header", f"of={self.copy}", "conv=notrunc"))
            lines.append(line("virsh", "restore", self.copy, "--paused"))
        lines += [line("virsh", "resume", spec.domain_name) for spec in self.specs]
        for spec in (spec for spec in self.specs if spec.agent):
            lines.append(line("virsh", "domtime", spec.domain_name, "--now"))
            if self.renew:
                lines.append(f'{line("virsh", "qemu-agent-command", spec.domain_name)} "$(cat labkit-renew.json)"')
        return "\n".join(lines)
