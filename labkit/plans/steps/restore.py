"""Steps that bring a machine back to a snapshot.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import Accelerator, DiskSpec, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import tree_by_id, with_machine, with_tree
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Phase,
    Touched,
    definition_paper,
    image_paths,
    line,
    lines,
    snapshot_paper,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DropSaved(BaseStep):
    """Delete a machine's saved memory; the machine is off then."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "managedsave-remove", self.domain)

    @property
    def word(self) -> str:
        return _("deleting the saved memory")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return with_machine(state, self.machine_id, lambda facts: replace(facts, state=MachineState.OFF, live=None))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DefineFromSnapshot(BaseStep):
    """Give a machine that is off the configuration of a snapshot, on new overlays.

    Attributes:
        accelerator: who is to run it if this host lacks the snapshot's accelerator, or None.
    """

    machine_id: str
    domain: str
    snapshot: str
    disks: tuple[DiskSpec, ...]
    accelerator: Accelerator | None = None
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "define", *self.papers)

    @property
    def papers(self) -> tuple[str, ...]:
        return (snapshot_paper(self.domain, self.snapshot),)

    @property
    def word(self) -> str:
        return _("bringing the configuration back")

    @property
    def touches(self) -> Touched:
        below = tuple((disk.path, disk.format) for disk in self.disks)
        return Touched(hands_over=image_paths(self.disks), stands_on=below)

    def after(self, state: LabState) -> LabState:
        node = tree_by_id(state, self.machine_id).nodes.get(self.snapshot)
        if node is None:
            return state

        def as_then(facts: MachineFacts) -> MachineFacts:
            accelerator = self.accelerator or node.spec.accelerator
            spec = replace(node.spec, name=facts.name, disks=self.disks, accelerator=accelerator)
            return replace(facts, spec=spec, live=None)

        return with_machine(state, self.machine_id, as_then)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCurrent(BaseStep):
    """Let the current state begin from a snapshot, in libvirt's tree too."""

    machine_id: str
    domain: str
    snapshot: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "snapshot-current", self.domain, self.snapshot)

    @property
    def word(self) -> str:
        return _("noting where the machine is")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        tree = tree_by_id(state, self.machine_id)
        return with_tree(state, self.machine_id, replace(tree, current=self.snapshot))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMemory(BaseStep):
    """Let the guest go on from a snapshot's memory, on new overlays.

    Attributes:
        paused: whether it stays paused. saved: whether it is left saved, to go on when it is started.
    """

    machine_id: str
    domain: str
    memory: str
    disks: tuple[DiskSpec, ...]
    paused: bool = False
    saved: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        state = "--paused" if self.paused or self.saved else "--running"
        then = "--paused" if self.paused else "--running"
        running, definition = self.papers
        return lines(
            line("virsh", "restore", self.memory, "--xml", running, state),
            line("virsh", "define", definition),  # the restore has replaced it with the memory's own
            line("virsh", "managedsave", self.domain, then) if self.saved else "",
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return (f"{self.domain}.memory.xml", definition_paper(self.domain))

    @property
    def word(self) -> str:
        return _("reading the memory back")

    @property
    def touches(self) -> Touched:
        below = tuple((disk.path, disk.format) for disk in self.disks)
        return Touched(hands_over=image_paths(self.disks), reads=(self.memory,), stands_on=below)

    def after(self, state: LabState) -> LabState:
        def awake(facts: MachineFacts) -> MachineFacts:
            if self.saved:
                return replace(facts, state=MachineState.SAVED, live=None)
            stand = MachineState.PAUSED if self.paused else MachineState.RUNNING
            return replace(facts, state=stand, live=facts.spec)

        return with_machine(state, self.machine_id, awake)
