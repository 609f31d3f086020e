"""A start: a machine boots, or a new one goes on from a guest which is kept booted.

Knows: the model, steps. Must not know: libvirt, files, where such a guest comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.language import _
from labkit.model.image import Format
from labkit.model.kept import BlankDisk, KeptGuest
from labkit.model.state import LabState
from labkit.plans.machine import machine_plan
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import BringWarmDisk, SwitchOn, WakeFresh


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmSurvey:
    """What a start from a kept guest needs measured.

    Attributes:
        kept: the guest. source: of its files the one with its disk, or with what it has written to that; stamp: when
            that was written, ns since 1970; bytes: how many the host gives to it.
        pristine: the file of the guest image, which the machine's disk is a copy of.
        seen: the bytes of the machine's disk, and when it was written, at the time at which it was found to be one.
        blanks: its further disks, to which nothing was ever written.
        below, below_format: the image right below the machine's disk, if that is a layer without content.
    """

    kept: KeptGuest
    source: str
    stamp: int
    bytes: int
    pristine: str
    seen: tuple[int, int]
    blanks: tuple[BlankDisk, ...] = ()
    below: str | None = None
    below_format: Format = Format.QCOW2


def plan_boot(state: LabState, name: str, notes: Iterable[str] = (), *, refusal: Refusal | None = None) -> Plan:
    """Plan to let a machine boot, or go on where it was saved; or say why not."""
    return machine_plan(
        "start", state, name, steps=[SwitchOn(spec=state.machines[name].spec)], notes=notes, refusal=refusal
    )


def plan_warm_start(state: LabState, survey: WarmSurvey, name: str) -> Plan:
    """Plan to let a new machine, which is off, go on from a guest of its kind that is kept booted."""
    spec, kept = state.machines[name].spec, survey.kept
    disk = BringWarmDisk(
        source=survey.source,
        stamp=survey.stamp,
        target=spec.disks[0].path,
        pristine=survey.pristine,
        seen=survey.seen,
        below=survey.below,
        below_format=survey.below_format,
        bytes=survey.bytes,
    )
    wake = WakeFresh(spec=spec, kept=kept, disk=disk, blanks=survey.blanks)
    resumed = _("{name} is resumed from the image's memory: it does not boot now, a guest of its image once did.")
    until = _("What uptime, dmesg and /proc/cmdline say is that guest's, until {name} boots; start(warm=False) boots.")
    notes = [resumed.format(name=name), until.format(name=name)]
    return machine_plan("start", state, name, steps=[disk, wake], notes=notes)
