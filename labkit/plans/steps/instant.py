"""Steps of clones that go on from a snapshot's memory instead of booting.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import MachineSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import with_new_machines
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Phase,
    Touched,
    definition_paper,
    line,
    lines,
    own_step,
    written_by,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CopyMemory(BaseStep):
    """Copy the file with a snapshot's memory: one copy is enough for any number of clones, one after the other.

    Attributes:
        source, target: absolute. bytes: what is written.
    """

    source: str
    target: str
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        return line("cp", "--no-preserve=mode", "--reflink=auto", self.source, self.target)

    @property
    def word(self) -> str:
        return _("copying the memory")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), reads=(self.source,), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return replace(state, memories=state.memories | {self.target})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WakeClones(BaseStep):
    """Let clones that are off go on from a snapshot's memory, each under its own identity, all at the same moment.

    The memory file begins with the definition of the machine whose memory it holds; each clone's own is written there
    before the clone is restored. A clone that cannot go on from it boots.

    Attributes:
        source_id, snapshot: the machine and the snapshot they are clones of. memory: its memory file, absolute, which
            is only read. copy: a copy of that, absolute. specs: the clones.
        renew: whether each guest is told who it is now; else they are twins. host_bytes: the host's memory that all
            will take.
        seconds: about how long it takes.
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
    on_cancel: ClassVar[OnCancel] = OnCancel.LEAVES_THE_REST

    @property
    def command(self) -> str:
        header = _(
            "writes the definition of {machine} before the memory in {file}: virsh save-image-define does not change a "
            "name in it."
        )
        renewal = _("lets the agent of {machine} renew its host name, its machine id and its keys.")
        agents = [spec.domain_name for spec in self.specs if spec.agent]
        woken = (
            lines(
                own_step(header.format(machine=spec.domain_name, file=self.copy)),
                line("virsh", "restore", self.copy, "--paused"),
                line("virsh", "define", definition_paper(spec.domain_name)),  # restoring has replaced it
            )
            for spec in self.specs
        )
        return lines(
            *woken,
            *(line("virsh", "resume", spec.domain_name) for spec in self.specs),
            *(
                lines(
                    line("virsh", "domtime", domain, "--now"),
                    own_step(renewal.format(machine=domain)) if self.renew else "",
                )
                for domain in agents
            ),
        )

    @property
    def word(self) -> str:
        return _("waking the clones")

    @property
    def touches(self) -> Touched:
        written = tuple(path for spec in self.specs for path in written_by(spec))
        return Touched(rewrites=(self.copy,), hands_over=written, reads=(self.memory,))

    def after(self, state: LabState) -> LabState:
        return with_new_machines(state, *self.specs, on=MachineState.RUNNING)
