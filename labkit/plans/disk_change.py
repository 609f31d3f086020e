"""Plans of acts that rewrite a disk or let it grow: convert, resize, compact.

Each is a pure function of the lab's state, a survey and a request.
Knows: the model, steps. Must not know: libvirt, files, how qemu-img works.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace

from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.broken import why_broken_disk
from labkit.plans.disk import DiskSurvey, disk_plan, holder_of, notes_of_format
from labkit.plans.disk_excuses import (
    why_elsewhere,
    why_internal,
    why_no_room,
    why_not_capacity,
    why_not_grow,
    why_not_name,
    why_not_single,
    why_not_still,
    why_served,
)
from labkit.plans.guard import why_not_change_disk
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import ConvertImage, DeleteFiles, GrowImage, RepointDisk, Step

_GROWS_IN_PLACE = (Format.RAW, Format.QCOW2)

_UNMARKED = (Format.RAW, Format.QCOW2)
"""Formats that do not record an allocation: a full dynamic disk looks just like a fixed one."""


def plan_convert(
    state: LabState,
    survey: DiskSurvey,
    name: str,
    new: str,
    format: Format,
    allocation: Allocation,
    *,
    as_is: bool = False,
) -> Plan:
    """Plan a new disk with the same content in another format; the old one stays.

    Args:
        as_is: whether frozen images below may have been changed, since what they hold now is wanted.
    """
    disk = state.disks[name]
    needed = disk.capacity if allocation is Allocation.FIXED else disk.allocated
    refusal = None
    if new == name:
        refusal = Refusal(
            why=_("{disk} cannot be converted onto itself.").format(disk=name),
            ways_out=(_("Give the new disk another name."),),
        )
    refusal = (
        refusal
        or why_not_name(state, new)
        or why_not_still(state, disk)
        or why_served(disk)
        or why_broken_disk(state, disk, () if as_is else survey.changed, may_lie_outside=True)
        or why_not_capacity(disk.capacity, format)
        or why_no_room(survey.free_bytes, needed)
    )
    step = _conversion(disk, next_image_path(state, new, format), format, allocation, disk.capacity, needed)
    notes = notes_of_format(format, disk.capacity)
    if as_is and (altered := [layer.path for layer in disk.layers if layer.path in survey.changed]):
        step = replace(step, as_is=True)
        names = ", ".join(posixpath.basename(path) for path in altered)
        notes.append(_("It will hold what can be read now, not what was frozen: {files}.").format(files=names))
    return disk_plan("convert", state, name, new, machines=holder_of(disk), steps=[step], refusal=refusal, notes=notes)


def plan_resize(state: LabState, survey: DiskSurvey, name: str, capacity: int) -> Plan:
    """Plan more capacity for a disk: in place where the format can, else through a larger copy."""
    disk = state.disks[name]
    if capacity == disk.capacity:
        return disk_plan("resize", state, name, machines=holder_of(disk))
    in_place = disk.active.format in _GROWS_IN_PLACE
    fixed = disk.active.allocation is Allocation.FIXED
    more = (capacity - disk.capacity) if fixed else 0
    needed = more if in_place else (capacity if fixed else disk.active.allocated)
    refusal = (
        why_elsewhere(state, disk)
        or why_not_grow(disk, capacity)
        or why_not_change_disk(state, disk)
        or why_broken_disk(state, disk, survey.changed)
        or why_not_capacity(capacity, disk.active.format)
        or (None if in_place else why_not_still(state, disk) or why_not_single(disk))
        or why_no_room(survey.free_bytes, needed)
    )
    holder = state.everywhere[disk.machine] if disk.machine else None
    notes = [_("The file system inside does not grow by itself: resize2fs does that.")]
    notes += notes_of_format(disk.active.format, capacity)
    if holder and holder.state is MachineState.SAVED:
        seen = _(
            "{machine} is saved: its guest goes on with the capacity it knows, and sees the new one when it boots."
        )
        notes.append(seen.format(machine=holder.name))
    steps: list[Step] = (
        [_growth(disk, capacity, more, holder)]
        if in_place
        else _replacement(state, disk, disk.active.allocation, capacity, needed, holder)
    )
    return disk_plan("resize", state, name, machines=holder_of(disk), steps=steps, refusal=refusal, notes=notes)


def plan_compact(state: LabState, survey: DiskSurvey, name: str) -> Plan:
    """Plan to give back what a dynamic disk no longer uses, through a copy that leaves zeros out."""
    disk = state.disks[name]
    refusal = None
    if disk.allocation is Allocation.FIXED and disk.format not in _UNMARKED:
        refusal = Refusal(
            why=_("{disk} is fixed: it holds its whole capacity by design.").format(disk=name),
            ways_out=(_('Convert it: disk.convert("…", format=…, allocation="dynamic").'),),
        )
    holder = state.everywhere[disk.machine] if disk.machine else None
    needed = disk.active.allocated
    refusal = (
        refusal
        or why_elsewhere(state, disk)
        or why_not_still(state, disk)
        or why_served(disk)
        or why_not_single(disk)
        or why_internal(disk.layers)
        or why_not_change_disk(state, disk)
        or why_no_room(survey.free_bytes, needed)
    )
    steps = _replacement(state, disk, Allocation.DYNAMIC, disk.capacity, needed, holder)
    note = _("Only zeros are left out: what was deleted inside counts once it is discarded (fstrim) or overwritten.")
    return disk_plan("compact", state, name, machines=holder_of(disk), steps=steps, refusal=refusal, notes=[note])


def _conversion(
    disk: DiskFacts, target: str, format: Format, allocation: Allocation, capacity: int, needed: int
) -> ConvertImage:
    return ConvertImage(
        source=disk.active.path,
        source_format=disk.active.format,
        target=target,
        target_format=format,
        allocation=allocation,
        capacity=capacity,
        bytes=needed,
        larger=capacity > disk.capacity,
    )


def _growth(disk: DiskFacts, capacity: int, more: int, holder: MachineFacts | None) -> GrowImage:
    running = holder if holder is not None and holder.is_active else None
    return GrowImage(
        path=disk.active.path,
        format=disk.active.format,
        capacity=capacity,
        allocation=disk.active.allocation,
        bytes=more,
        machine_id=running.id if running else None,
        domain=running.spec.domain_name if running else None,
        disk_target=disk.target if running else None,
    )


def _replacement(
    state: LabState,
    disk: DiskFacts,
    allocation: Allocation,
    capacity: int,
    needed: int,
    holder: MachineFacts | None,
) -> list[Step]:
    """Copy a disk's only image into its next one, let its machine use that, delete the old one."""
    old = disk.active
    target = next_image_path(state, disk.name, old.format)
    steps: list[Step] = [_conversion(disk, target, old.format, allocation, capacity, needed)]
    if holder is not None and disk.target is not None:
        spec = DiskSpec(name=disk.name, target=disk.target, path=target, format=old.format)
        steps.append(RepointDisk(machine_id=holder.id, domain=holder.spec.domain_name, disk=spec))
    return [*steps, DeleteFiles(paths=old.files, bytes=old.allocated, is_copied=True)]
