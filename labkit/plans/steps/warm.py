"""Steps of a start: a machine boots, or a new one goes on from a guest which is kept booted.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.image import Format
from labkit.model.image_commands import rebase_argv
from labkit.model.kept import BlankDisk, KeptGuest
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import with_machine
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, below, line, lines, own_step, written_by
from labkit.plans.steps.instant import waking_paper


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOn(BaseStep):
    """Let a machine that is off boot, and a saved one go on where it was saved.

    Attributes:
        spec: the machine.
    """

    spec: MachineSpec
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "start", self.spec.domain_name)

    @property
    def word(self) -> str:
        return _("switching on")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=written_by(self.spec))

    def after(self, state: LabState) -> LabState:
        return with_machine(state, self.spec.id, _running)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BringWarmDisk(BaseStep):
    """Exchange the content of a new machine's disk for what a guest that is kept booted had on its own.

    Attributes:
        source: the kept guest's disk, or what it has written to that, as a layer.
        stamp: when that was written, ns since 1970; the copy gets the same time, so that one can see whether anything
            was written to it since.
        target: the machine's disk. pristine: the file of the guest image, whose content that must still have.
        seen: the bytes of the machine's disk, and when it was written, at the time at which it was compared.
        bytes: how many are written.
        below, below_format: the image on which the machine's disk stands, if that is a layer without content.
    """

    source: str
    stamp: int
    target: str
    pristine: str
    seen: tuple[int, int]
    bytes: int
    below: str | None = None
    below_format: Format = Format.QCOW2
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        copy = line("cp", "--no-preserve=mode", "--reflink=auto", self.source, self.target)
        return lines(copy, line(*self.rebasing(self.target)) if self.below else "")

    def rebasing(self, path: str) -> list[str]:
        """Return the line that lets the copy, at a path, stand on what the machine's disk stands on."""
        return rebase_argv(path, below(self.target, self.below or "", self.below_format), only_name=True)

    @property
    def word(self) -> str:
        return _("copying an image")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.target,), reads=(self.source, self.pristine), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return state


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WakeFresh(BaseStep):
    """Let a new machine that is off go on from a guest which is kept booted, as itself; if it cannot, it boots.

    Attributes:
        spec: the machine. kept: the guest. disk: how its disk came to what is on it. blanks: its further disks.
    """

    spec: MachineSpec
    kept: KeptGuest
    disk: BringWarmDisk
    blanks: tuple[BlankDisk, ...] = ()
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        domain = self.spec.domain_name
        ask = '{"execute": "migrate-incoming", "arguments": {"uri": "unix:waking.socket"}}'
        sending = _("sends {file} to that socket: no program here does that.").format(file=self.kept.devices)
        renewal = _("lets the agent of {machine} renew its host name, its machine id and its keys.")
        return lines(
            line("virsh", "create", waking_paper(domain), "--paused"),
            line("virsh", "qemu-monitor-command", domain, ask),
            own_step(sending),
            line("virsh", "resume", domain),
            own_step(renewal.format(machine=domain)),
            line("virsh", "domtime", domain, "--now"),
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return (waking_paper(self.spec.domain_name),)

    @property
    def word(self) -> str:
        return _("resuming from the image's memory")

    @property
    def touches(self) -> Touched:
        written = written_by(self.spec)
        return Touched(hands_over=written, reads=(self.kept.pages, self.kept.devices, self.disk.pristine))

    def after(self, state: LabState) -> LabState:
        return with_machine(state, self.spec.id, _running)


def _running(facts: MachineFacts) -> MachineFacts:
    return replace(facts, state=MachineState.RUNNING, live=facts.spec)
