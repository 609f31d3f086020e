"""Steps on a machine's definition and power.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import MachineChanges, MachineFacts, MachineSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import with_machine, with_new_machines, with_specs, without_machine
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, definition_paper, line, lines, written_by
from labkit.units import KIB


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DefineMachine(BaseStep):
    """Define a new machine."""

    spec: MachineSpec
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "define", *self.papers)

    @property
    def papers(self) -> tuple[str, ...]:
        return (definition_paper(self.spec.domain_name),)

    @property
    def word(self) -> str:
        return _("telling the hypervisor of the machine")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=written_by(self.spec))

    def after(self, state: LabState) -> LabState:
        return with_new_machines(state, self.spec)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureMachine(BaseStep):
    """Change a machine's definition; a running guest sees it at its next start.

    Attributes:
        pinned: whether its vCPUs are bound to a CPU of the host; new vCPUs will be, too.
    """

    machine_id: str
    domain: str
    changes: MachineChanges
    pinned: bool = False
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        if self.papers:
            return line("virsh", "define", *self.papers)
        memory, vcpus = self.changes.memory, self.changes.vcpus
        kib, count = f"{-(-(memory or 0) // KIB)}KiB", str(vcpus)
        return lines(
            line("virsh", "setmaxmem", self.domain, kib, "--config") if memory is not None else "",
            line("virsh", "setmem", self.domain, kib, "--config") if memory is not None else "",
            line("virsh", "setvcpus", self.domain, count, "--config", "--maximum") if vcpus is not None else "",
            line("virsh", "setvcpus", self.domain, count, "--config") if vcpus is not None else "",
        )

    @property
    def papers(self) -> tuple[str, ...]:
        by_lines = self.changes.cpu_model is None and not (self.pinned and self.changes.vcpus is not None)
        return () if by_lines else (definition_paper(self.domain),)

    @property
    def word(self) -> str:
        return _("changing the configuration")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        def configured(facts: MachineFacts) -> MachineFacts:
            new, old = self.changes, facts.spec
            return replace(
                facts,
                spec=replace(
                    old,
                    memory=old.memory if new.memory is None else new.memory,
                    vcpus=old.vcpus if new.vcpus is None else new.vcpus,
                    cpu_model=old.cpu_model if new.cpu_model is None else new.cpu_model,
                ),
            )

        return with_machine(state, self.machine_id, configured)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RenameMachine(BaseStep):
    """Give a machine another name; its images keep theirs."""

    machine_id: str
    old: str
    new: str
    old_domain: str
    new_domain: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        rename = line("virsh", "domrename", self.old_domain, self.new_domain)
        return lines(rename, line("virsh", "define", *self.papers))  # the name is also on its kernel's command line

    @property
    def papers(self) -> tuple[str, ...]:
        return (definition_paper(self.new_domain),)

    @property
    def word(self) -> str:
        return _("renaming the machine")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return with_machine(
            state, self.machine_id, lambda facts: with_specs(facts, lambda spec: replace(spec, name=self.new))
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CutPower(BaseStep):
    """End the machine's QEMU process as a power cut would."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "destroy", self.domain)

    @property
    def word(self) -> str:
        return _("cutting the power")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return with_machine(state, self.machine_id, lambda facts: replace(facts, state=MachineState.OFF, live=None))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UndefineMachine(BaseStep):
    """Make the hypervisor forget a machine, its saved memory included; its images stay."""

    machine_id: str
    domain: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        records = ["--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram"]
        return line("virsh", "undefine", self.domain, *records)

    @property
    def word(self) -> str:
        return _("letting the hypervisor forget the machine")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return without_machine(state, self.machine_id)
