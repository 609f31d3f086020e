"""Plans of acts that make disks, attach and detach them, and delete them: create, import, attach, detach, delete.

Each is a pure function of the lab's state, a survey and a request.
Knows: the model, steps. Must not know: libvirt, files, how qemu-img works.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field

from labkit.language import _
from labkit.model.disk import Bus, DiskFacts, bus_of, disk_name, free_target
from labkit.model.foreign import Foreign
from labkit.model.geometry import vhd_capacity
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.broken import why_broken_disk, why_unread
from labkit.plans.disk_excuses import (
    FIRST_TARGETS,
    why_elsewhere,
    why_held,
    why_ide_stays,
    why_no_room,
    why_not_attach,
    why_not_bus,
    why_not_capacity,
    why_not_from_here,
    why_not_name,
    why_not_options,
    why_served,
)
from labkit.plans.guard import why_not_change_disk
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.reclaim import find_unneeded
from labkit.plans.refusal import Refusal
from labkit.plans.steps import (
    AttachDisk,
    BringImage,
    CreateImage,
    DeleteFiles,
    DetachDisk,
    Step,
)
from labkit.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSurvey:
    """What had to be measured for a plan about a disk.

    Attributes:
        free_bytes: free on the file system of the lab's folder.
        mounted: where a running guest has its disks mounted, by target ("vdb" → "/mnt/data").
        changed: frozen images that are no longer what they were.
    """

    free_bytes: int
    mounted: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


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
    notes = notes_of_format(request.format, request.capacity)
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
    return disk_plan("create", state, request.name, steps=[step], refusal=refusal, notes=notes)


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
    notes = notes_of_format(format, image.capacity)
    return disk_plan("import", state, name, steps=[step], refusal=refusal, notes=notes)


def plan_attach(
    state: LabState, name: str, machine: str, bus: Bus = Bus.VIRTIO, *, changed: Container[str] = ()
) -> Plan:
    """Plan to attach a free disk to a machine, as the guest's next disk.

    Args:
        changed: frozen images that are no longer what they were.
    """
    if unread := why_unread(state, name):
        return disk_plan("attach", state, name, machines=[machine], refusal=unread)
    disk, facts = state.disks[name], state.machines[machine]
    target = free_target((spec.target for spec in facts.spec.disks), bus)
    refusal = (
        why_not_attach(disk, facts)
        or why_not_from_here(state, disk, machine)
        or why_not_bus(disk, facts, bus)
        or why_broken_disk(state, disk, changed)
    )
    if refusal or target is None:
        full = Refusal(why=_("{machine} has no room for another disk.").format(machine=machine))
        return disk_plan("attach", state, name, machines=[machine], refusal=refusal or full)
    spec = DiskSpec(name=name, target=target, path=disk.active.path, format=disk.active.format)
    if disk.socket is not None:
        spec = DiskSpec(name=name, target=target, path=disk.socket, format=Format.RAW, served=True)
    step = AttachDisk(machine_id=facts.id, domain=facts.spec.domain_name, disk=spec)
    note = _("{machine} sees it as {target}.").format(machine=machine, target=target)
    return disk_plan("attach", state, name, machines=[machine], steps=[step], notes=[note])


def plan_detach(state: LabState, survey: DiskSurvey, name: str, machine: str) -> Plan:
    """Plan to detach a disk from its machine; it stays in the lab, with its content, as a free disk."""
    if unread := why_unread(state, name):
        return disk_plan("detach", state, name, machines=[machine], refusal=unread)
    disk, facts = state.disks[name], state.machines[machine]
    refusal = None
    if disk.machine != machine or disk.target is None:
        holder = _("it is free") if disk.machine is None else _("it is attached to {name}").format(name=disk.machine)
        why = _("{disk} is not attached to {machine}: {holder}.").format(disk=name, machine=machine, holder=holder)
        return disk_plan("detach", state, name, machines=[machine], refusal=Refusal(why=why))
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
    notes = []
    if away := [layer.path for layer in disk.layers if layer.path in state.outside]:
        notes.append(
            _(
                "{file} lies outside of the lab's folder: it stays there, and is no disk of the lab from then on."
            ).format(file=away[0])
        )
    if disk.target in FIRST_TARGETS:
        notes.append(
            _("{machine} starts from {disk}: without it, it cannot be started. Back again: {call}.").format(
                machine=machine, disk=name, call=f'lab.machines["{machine}"].attach("{name}")'
            )
        )
    return disk_plan("detach", state, name, machines=[machine], steps=[step], refusal=refusal, notes=notes)


def plan_delete(state: LabState, name: str, held: Collection[str] = ()) -> Plan:
    """Plan to delete a free disk with its images.

    Args:
        held: those of its files that a process has open.
    """
    disk = state.disks[name]
    refusal = why_elsewhere(state, disk)
    if refusal is None and disk.machine is not None:
        refusal = Refusal(
            why=_("{disk} is attached to {machine}.").format(disk=name, machine=disk.machine),
            ways_out=(
                _("Detach it first: lab.machines[{machine!r}].detach({disk!r}).").format(
                    machine=disk.machine, disk=name
                ),
            ),
            dependants=(disk.machine,),
        )
    refusal = refusal or why_served(disk) or why_held(disk, held) or why_not_change_disk(state, disk)
    roots = state.roots - {disk.active.path} | state.claims  # those of snapshots stay
    dead = set(find_unneeded(state, roots, {name, disk_name(disk.active.path)}))
    images = [image for image in disk.layers if image.path in dead]
    paths = tuple(file for image in images for file in image.files)
    steps = [DeleteFiles(paths=paths, bytes=sum(image.allocated for image in images))]
    return disk_plan("delete", state, name, steps=steps, refusal=refusal)


def notes_of_format(format: Format, capacity: int) -> list[str]:
    """Return notes about a new image of `capacity` bytes: a VHD may get more."""
    given = vhd_capacity(capacity) if format is Format.VHD else capacity
    if given == capacity:
        return []
    return [
        _("A VHD holds whole cylinders: it gets {given} bytes, {more} more than asked for.").format(
            given=given, more=format_size(given - capacity)
        )
    ]


def disk_plan(
    act: str,
    state: LabState,
    *disks: str,
    machines: Iterable[str] = (),
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    """Return the plan of an act on disks; the first of them is its subject."""
    return make_plan(act, state, disks[0], names=machines, disks=disks, steps=steps, refusal=refusal, notes=notes)


def holder_of(disk: DiskFacts) -> tuple[str, ...]:
    """Return the name of the machine it is attached to, or nothing."""
    return (disk.machine,) if disk.machine else ()
