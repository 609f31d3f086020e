"""Steps of clones that go on from a snapshot's memory instead of booting.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import MachineSpec, MachineState
from labkit.model.mapped import devices_of
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
class MapMemory(BaseStep):
    """Make the files by which clones map a snapshot's memory: its pages as the guest sees them, and all else.

    Attributes:
        memory: absolute, only read. pages, devices: the files it makes, absolute. bytes: how many are written.
        anew: whether such files exist already and are not what they were.
    """

    memory: str
    pages: str
    devices: str
    bytes: int
    anew: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def files(self) -> tuple[str, ...]:
        """The files it makes."""
        return (self.pages, self.devices)

    @property
    def command(self) -> str:
        why = _("lays the pages of {file} out as the guest sees them, and keeps the rest apart: no program does that.")
        return own_step(why.format(file=self.memory))

    @property
    def word(self) -> str:
        return _("laying out the memory")

    @property
    def touches(self) -> Touched:
        made, again = ((), self.files) if self.anew else (self.files, ())
        return Touched(creates=made, rewrites=again, reads=(self.memory,), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return replace(state, memories=state.memories.union(self.files))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WakeClones(BaseStep):
    """Let clones that are off go on from a snapshot's memory, each under its own identity, all at the same moment.

    Where they can map it they share what they have not written. Otherwise each reads it: the memory file begins with
    the definition of the machine whose memory it holds; each clone's own is written there before the clone is restored.
    A clone that cannot go on from it boots.

    Attributes:
        source_id, snapshot: the machine and the snapshot they are clones of. memory: its memory file, absolute, which
            is only read. copy: a copy of that, absolute; where the memory is mapped it is made only for clones that
            cannot map it, and is gone at the end. mapped: whether the files to map it are there. specs: the clones.
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
    mapped: bool = False
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
            self._mapped_lines()
            if self.mapped
            else (
                lines(
                    own_step(header.format(machine=spec.domain_name, file=self.copy)),
                    line("virsh", "restore", self.copy, "--paused"),
                    line("virsh", "define", definition_paper(spec.domain_name)),  # restoring has replaced it
                )
                for spec in self.specs
            )
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
    def papers(self) -> tuple[str, ...]:
        return tuple(waking_paper(spec.domain_name) for spec in self.specs) if self.mapped else ()

    def _mapped_lines(self) -> Iterator[str]:
        ask = '{"execute": "migrate-incoming", "arguments": {"uri": "unix:waking.socket"}}'
        sending = _("sends {file} to that socket, of a name of its own for each clone: no program here does that.")
        for spec in self.specs:
            yield lines(
                line("virsh", "create", waking_paper(spec.domain_name), "--paused"),
                line("virsh", "qemu-monitor-command", spec.domain_name, ask),
                own_step(sending.format(file=devices_of(self.memory))),
            )

    @property
    def word(self) -> str:
        return _("waking the clones")

    @property
    def touches(self) -> Touched:
        written = tuple(path for spec in self.specs for path in written_by(spec))
        if not self.mapped:
            return Touched(rewrites=(self.copy,), hands_over=written, reads=(self.memory,))
        # The files are checked for each clone; a clone that must not map them reads the memory.
        return Touched(creates=(self.copy,), deletes=(self.copy,), hands_over=written, reads=(self.memory,))

    def after(self, state: LabState) -> LabState:
        return with_new_machines(state, *self.specs, on=MachineState.RUNNING)


def waking_paper(domain: str) -> str:
    """Return the name of the file with the definition that a clone is woken with."""
    return f"{domain}.waking.xml"
