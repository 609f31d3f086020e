"""Steps that attach and detach disks, and end their servers.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import using, with_machine, with_specs
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Outside,
    Phase,
    Touched,
    definition_paper,
    image_paths,
    line,
    lines,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDisk(BaseStep):
    """Attach a disk to a machine, to the running guest as well as to the definition."""

    machine_id: str
    domain: str
    disk: DiskSpec
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "attach-device", self.domain, *self.papers, "--persistent")

    @property
    def papers(self) -> tuple[str, ...]:
        return (f"{self.domain}.{self.disk.target}.xml",)

    @property
    def word(self) -> str:
        return _("attaching the disk")

    @property
    def touches(self) -> Touched:
        below = () if self.disk.served else ((self.disk.path, self.disk.format),)
        return Touched(hands_over=image_paths([self.disk]), stands_on=below)

    def after(self, state: LabState) -> LabState:
        return with_machine(
            state, self.machine_id, lambda facts: with_specs(facts, lambda spec: using(spec, [self.disk]))
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DetachDisk(BaseStep):
    """Detach a disk from a machine, from the running guest as well as from the definition."""

    machine_id: str
    domain: str
    target: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "detach-disk", self.domain, self.target, "--persistent")

    @property
    def word(self) -> str:
        return _("detaching the disk")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        def without(spec: MachineSpec) -> MachineSpec:
            return replace(spec, disks=tuple(disk for disk in spec.disks if disk.target != self.target))

        return with_machine(state, self.machine_id, lambda facts: with_specs(facts, without))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RepointDisk(BaseStep):
    """Let a machine that is off use another image for a disk."""

    machine_id: str
    domain: str
    disk: DiskSpec
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "define", *self.papers)

    @property
    def papers(self) -> tuple[str, ...]:
        return (definition_paper(self.domain),)

    @property
    def word(self) -> str:
        return _("giving the disk another image")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=image_paths([self.disk]))

    def after(self, state: LabState) -> LabState:
        return with_machine(
            state, self.machine_id, lambda facts: with_specs(facts, lambda spec: using(spec, [self.disk]))
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StopServing(BaseStep):
    """End the server of a disk that is served as another machine's storage."""

    disk: str
    socket: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        its = ["-x", "-f", f"qemu-nbd .*--socket={re.escape(self.socket)} .*"]
        return lines(line("pkill", *its), f"while {line('pgrep', *its)} > /dev/null; do sleep 0.1; done")

    @property
    def word(self) -> str:
        return _("ending the disk's server")

    @property
    def touches(self) -> Touched:
        return Touched(elsewhere=((Outside.SERVED, self.socket),))

    def after(self, state: LabState) -> LabState:
        return replace(state, served={name: socket for name, socket in state.served.items() if name != self.disk})
