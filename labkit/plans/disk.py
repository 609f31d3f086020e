"""Plans of acts on disks: create, import, attach, detach, convert, resize, compact, delete.

Each is a pure function of the lab's state, a survey and a request.
Knows: the model, steps. Must not know: libvirt, files, qemu-img's doings.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labkit.language import _
from labkit.model.disk import Bus, DiskFacts, bus_of, disk_name, free_target, image_number, image_path
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.disk_excuses import (
    why_elsewhere,
    why_ide_stays,
    why_no_room,
    why_not_attach,
    why_not_bus,
    why_not_capacity,
    why_not_from_here,
    why_not_grow,
    why_not_name,
    why_not_options,
    why_not_single,
    why_not_still,
    why_served,
)
from labkit.plans.guard import why_not_change_disk
from labkit.plans.plan import Plan, Refusal
from labkit.plans.reclaim import reclaim
from labkit.plans.steps import (
    AttachDisk,
    BringImage,
    ConvertImage,
    CreateImage,
    DeleteFiles,
    DetachDisk,
    GrowImage,
    RepointDisk,
    Step,
)
from labkit.units import format_size

_GROWS_IN_PLACE = (Format.RAW, Format.QCOW2)

_UNMARKED = (Format.RAW, Format.QCOW2)
"""Formats that do not record an allocation: a dynamic disk that is full cannot be told from a fixed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSurvey:
    """What had to be measured for a plan about a disk.

    Attributes:
        free_bytes: free on the file system of the lab's folder.
        mounted: where a running guest has its disks mounted, by target ("vdb" → "/mnt/data").
    """

    free_bytes: int
    mounted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRequest:
    """A new disk as asked for.

    Attributes:
        capacity: bytes. cluster_size: bytes, or None. extended_l2: subclusters; both qcow2 only.
    """

    name: str
    capacity: int
    format: Format
    allocation: Allocation
    cluster_size: int | None = None
    extended_l2: bool = False


def plan_create(state: LabState, survey: DiskSurvey, request: DiskRequest) -> Plan:
    """Plan a new empty disk."""
    needed = request.capacity if request.allocation is Allocation.FIXED else 0
    refusal = (
        why_not_name(state, request.name)
        or why_not_capacity(request.capacity, request.format)
        or why_not_options(request.format, request.cluster_size, request.extended_l2)
        or why_no_room(survey.free_bytes, needed)
    )
    notes = []
    if request.allocation is Allocation.DYNAMIC and request.capacity > survey.free_bytes:
        notes.append(
            _("It may grow to {capacity}, but the host has only {free} free: a full host pauses the guest.").format(
                capacity=format_size(request.capacity), free=format_size(survey.free_bytes)
            )
        )
    step = CreateImage(
        path=next_image_path(state, request.name, request.format),
        format=request.format,
        capacity=request.capacity,
        allocation=request.allocation,
        bytes=needed,
        cluster_size=request.cluster_size,
        extended_l2=request.extended_l2,
    )
    return _plan("create", state, request.name, steps=[step], refusal=refusal, notes=notes)


def plan_import(
    state: LabState, survey: DiskSurvey, image: Foreign, name: str, format: Format, allocation: Allocation
) -> Plan:
    """Plan a disk with the content of a file somebody brought; the file itself stays as it is."""
    needed = image.capacity if allocation is Allocation.FIXED else image.data
    refusal = (
        why_not_name(state, name)
        or why_not_capacity(image.capacity, format)
        or why_no_room(survey.free_bytes, needed + image.allocated)
    )
    step = BringImage(
        source=image,
        target=next_image_path(state, name, format),
        target_format=format,
        allocation=allocation,
        bytes=needed,
    )
    return _plan("import", state, name, steps=[step], refusal=refusal)


def plan_attach(state: LabState, name: str, machine: str, bus: Bus = Bus.VIRTIO) -> Plan:
    """Plan to attach a free disk to a machine, as the guest's next disk."""
    disk, facts = state.disks[name], state.machines[machine]
    target = free_target((spec.target for spec in facts.spec.disks), bus)
    refusal = why_not_attach(disk, facts) or why_not_from_here(state, disk, machine) or why_not_bus(disk, facts, bus)
    if refusal or target is None:
        full = Refusal(why=_("{machine} has no room for another disk.").format(machine=machine))
        return _plan("attach", state, name, machines=[machine], refusal=refusal or full)
    spec = DiskSpec(name=name, target=target, path=disk.active.path, format=disk.active.format)
    if disk.socket is not None:
        spec = DiskSpec(name=name, target=target, path=disk.socket, format=Format.RAW, served=True)
    step = AttachDisk(machine_id=facts.id, domain=facts.spec.domain_name, disk=spec)
    note = _("{machine} sees it as {target}.").format(machine=machine, target=target)
    return _plan("attach", state, name, machines=[machine], steps=[step], notes=[note])


def plan_detach(state: LabState, survey: DiskSurvey, name: str, machine: str) -> Plan:
    """Plan to take a disk from its machine; it stays in the lab, with its content, as a free disk."""
    disk, facts = state.disks[name], state.machines[machine]
    refusal = None
    if disk.machine != machine or disk.target is None:
        holder = _("it is free") if disk.machine is None else _("it is attached to {name}").format(name=disk.machine)
        why = _("{disk} is not attached to {machine}: {holder}.").format(disk=name, machine=machine, holder=holder)
        return _plan("detach", state, name, machines=[machine], refusal=Refusal(why=why))
    if facts.state is MachineState.SAVED:
        refusal = Refusal(
            why=_("{machine} is saved: its saved memory fits only the disks it has.").format(machine=machine),
            ways_out=(_("Start it, then detach the disk."),),
        )
    elif facts.is_active and disk.target in survey.mounted:
        place = survey.mounted[disk.target]
        refusal = Refusal(
            why=_("{disk} is mounted at {place} inside {machine}.").format(disk=name, place=place, machine=machine),
            ways_out=(
                _("Unmount it first: vm.run({command!r}).").format(command=f"umount {place}"),
                _("Or stop the machine."),
            )
            if place != "/"
            else (_("Stop the machine first: it runs from this disk."),),
        )
    elif facts.is_active and bus_of(disk.target) is Bus.IDE:
        refusal = why_ide_stays(facts)
    step = DetachDisk(machine_id=facts.id, domain=facts.spec.domain_name, target=disk.target)
    return _plan("detach", state, name, machines=[machine], steps=[step], refusal=refusal)


def plan_convert(
    state: LabState, survey: DiskSurvey, name: str, new: str, format: Format, allocation: Allocation
) -> Plan:
    """Plan a new disk with the same content in another format; the old one stays."""
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
        or why_not_capacity(disk.capacity, format)
        or why_no_room(survey.free_bytes, needed)
    )
    step = _conversion(disk, next_image_path(state, new, format), format, allocation, disk.capacity, needed)
    return _plan("convert", state, name, new, machines=_holder(disk), steps=[step], refusal=refusal)


def plan_resize(state: LabState, survey: DiskSurvey, name: str, capacity: int) -> Plan:
    """Plan more capacity for a disk: in place where the format can, else through a larger copy."""
    disk = state.disks[name]
    if capacity == disk.capacity:
        return _plan("resize", state, name, machines=_holder(disk))
    in_place = disk.active.format in _GROWS_IN_PLACE
    fixed = disk.active.allocation is Allocation.FIXED
    more = (capacity - disk.capacity) if fixed else 0
    needed = more if in_place else (capacity if fixed else disk.active.allocated)
    refusal = (
        why_elsewhere(state, disk)
        or why_not_grow(disk, capacity)
        or why_not_change_disk(state, disk)
        or why_not_capacity(capacity, disk.active.format)
        or (None if in_place else why_not_still(state, disk) or why_not_single(disk))
        or why_no_room(survey.free_bytes, needed)
    )
    holder = state.everywhere[disk.machine] if disk.machine else None
    notes = [_("The file system inside does not grow by itself: resize2fs does that.")]
    steps: list[Step] = (
        [_growth(disk, capacity, more, holder)]
        if in_place
        else _replacement(state, disk, disk.active.allocation, capacity, needed, holder)
    )
    return _plan("resize", state, name, machines=_holder(disk), steps=steps, refusal=refusal, notes=notes)


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
        or why_not_change_disk(state, disk)
        or why_no_room(survey.free_bytes, needed)
    )
    steps = _replacement(state, disk, Allocation.DYNAMIC, disk.capacity, needed, holder)
    note = _("Only zeros are left out: what was deleted inside counts once it is discarded (fstrim) or overwritten.")
    return _plan("compact", state, name, machines=_holder(disk), steps=steps, refusal=refusal, notes=[note])


def plan_delete(state: LabState, name: str) -> Plan:
    """Plan to delete a free disk with its images."""
    disk = state.disks[name]
    refusal = None
    if disk.machine is not None:
        refusal = Refusal(
            why=_("{disk} is attached to {machine}.").format(disk=name, machine=disk.machine),
            ways_out=(
                _("Detach it first: lab.machines[{machine!r}].detach({disk!r}).").format(
                    machine=disk.machine, disk=name
                ),
            ),
            dependants=(disk.machine,),
        )
    refusal = refusal or why_served(disk) or why_not_change_disk(state, disk)
    dead = set(reclaim(state.images, state.roots - {disk.active.path}).dead)  # snapshots keep theirs
    images = [image for image in disk.layers if image.path in dead]
    paths = tuple(file for image in images for file in image.files)
    steps = [DeleteFiles(paths=paths, bytes=sum(image.allocated for image in images))]
    return _plan("delete", state, name, steps=steps, refusal=refusal)


def next_image_path(state: LabState, disk: str, format: Format) -> str:
    """Return the path of a disk's next image, numbered beyond all there are."""
    files = (*state.images, *state.strays)
    number = max((image_number(path) + 1 for path in files if disk_name(path) == disk), default=0)
    return image_path(posixpath.join(state.home, "disks"), disk, number, format)


def _plan(
    act: str,
    state: LabState,
    *disks: str,
    machines: Iterable[str] = (),
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    names = tuple(machines)
    return Plan(
        act=act,
        subject=disks[0],
        home=state.home,
        names=names,
        disks=disks,
        basis=state.fingerprint(names, disks),
        steps=() if refusal else tuple(steps),
        refusal=refusal,
        notes=() if refusal else tuple(notes),
    )


def _holder(disk: DiskFacts) -> tuple[str, ...]:
    return (disk.machine,) if disk.machine else ()


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
    """Copy a disk's one image to its next, let its machine use that, delete the old."""
    old = disk.active
    target = next_image_path(state, disk.name, old.format)
    steps: list[Step] = [_conversion(disk, target, old.format, allocation, capacity, needed)]
    if holder is not None and disk.target is not None:
        spec = DiskSpec(name=disk.name, target=disk.target, path=target, format=old.format)
        steps.append(RepointDisk(machine_id=holder.id, domain=holder.spec.domain_name, disk=spec))
    return [*steps, DeleteFiles(paths=old.files, bytes=old.allocated)]
