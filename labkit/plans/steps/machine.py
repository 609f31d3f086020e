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
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, line, written_by
from labkit.units import KIB


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DefineMachine(BaseStep):
    """Make a new machine known to the hypervisor."""

    spec: MachineSpec
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "define", f"{self.spec.domain_name}.xml")

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
    """Change a machine's definition; a running guest sees it at its next start."""

    machine_id: str
    domain: str
    changes: MachineChanges
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
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
        return line("virsh", "domrename", self.old_domain, self.new_domain)

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
        return line("virsh", "undefine", self.domain, "--managed-save", "--snapshots-metadata")

    @property
    def word(self) -> str:
        return _("letting the hypervisor forget the machine")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return without_machine(state, self.machine_id)
