"""The plan of a new machine with its own copy of a guest image.

A pure function of the lab's state, a survey and a request that already holds the new ids.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.language import _
from labkit.model.image import Allocation, Format, GuestImage
from labkit.model.machine import DEFAULT_CPU, Boot, Chipset, DiskSpec, MachineFacts, MachineSpec
from labkit.model.state import LabState
from labkit.plans.disk import notes_of_format
from labkit.plans.first_disk import FirstDisk
from labkit.plans.guard import why_not_delete_machine
from labkit.plans.machine import Survey, machine_plan, why_not_sized_here
from labkit.plans.machine_excuses import (
    why_no_room_for_machine,
    why_not_image,
    why_not_message,
    why_not_name,
    why_not_named_here,
)
from labkit.plans.naming import free_console_log
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.removal import removal_steps
from labkit.plans.steps import DefineMachine, DeleteFiles


class IfExists(StrEnum):
    """What `create` does when the name is taken in this lab."""

    ERROR = "error"
    KEEP = "keep"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """A new machine as asked for, with its new ids.

    Attributes:
        memory: bytes. message: what an image such as `sector` greets with, or None for its own.
        disk_format: of the machine's disk; None: the guest image's. allocation: of that disk.
        chipset: which PC it imitates.
    """

    name: str
    id: str
    genid: str
    image: str
    memory: int
    vcpus: int
    if_exists: IfExists = IfExists.ERROR
    cpu_model: str = DEFAULT_CPU
    panic_device: bool = True
    message: str | None = None
    disk_format: Format | None = None
    allocation: Allocation = Allocation.DYNAMIC
    chipset: Chipset = Chipset.Q35


def plan_create(state: LabState, survey: Survey, request: CreateRequest) -> Plan:
    """Plan a new machine with its own copy of a guest image."""
    existing = state.machines.get(request.name)
    if existing and request.if_exists is IfExists.KEEP:
        return machine_plan("create", state, request.name)
    if refusal := _why_not_create(state, survey, request):
        return machine_plan("create", state, request.name, refusal=refusal)

    image = state.guest_images[request.image]
    disk, steps, drafts = _first_disk(request, image).plan(state)
    spec = _new_spec(state, survey, request, image, disk)
    removal = removal_steps(state, [existing]) if existing else []
    switches = [step for step in removal if not isinstance(step, DeleteFiles)]
    clean_ups = [step for step in removal if isinstance(step, DeleteFiles)]
    steps += [*switches, DefineMachine(spec=spec), *clean_ups, *drafts]
    notes = notes_of_format(disk.format, image.capacity)
    return machine_plan("create", state, request.name, steps=steps, notes=notes)


def _why_not_create(state: LabState, survey: Survey, request: CreateRequest) -> Refusal | None:
    replaced = state.machines.get(request.name) if request.if_exists is IfExists.REPLACE else None
    refusal = (
        _why_not_name(state, request.name, replaced)
        or why_not_named_here(state, request.name, room=survey.name_room, folder=survey.config)
        or why_not_sized_here(survey, request.memory, request.vcpus)
        or why_not_image(state, request.image)
    )
    if refusal is None and replaced is not None:
        refusal = why_not_delete_machine(state, replaced.name)
    if refusal:
        return refusal
    image = state.guest_images[request.image]
    disk = _first_disk(request, image)
    return (
        why_not_message(image, request.message)
        or disk.why_not()
        or why_no_room_for_machine(survey.free_bytes, disk.bytes)
        or why_not_sized_here(survey, request.memory, request.vcpus, minimum=image.minimum_memory)
    )


def _why_not_name(state: LabState, name: str, replaced: MachineFacts | None) -> Refusal | None:
    """Return why a name cannot be used; if a machine of this lab has it, one way out is `if_exists`."""
    refusal = why_not_name(state, name, allow=replaced)
    if refusal is None or name not in state.machines:
        return refusal
    return replace(refusal, for_calls=(_('Or say if_exists="keep" to use it, if_exists="replace" to start afresh.'),))


def _first_disk(request: CreateRequest, image: GuestImage) -> FirstDisk:
    return FirstDisk(
        name=f"{request.name}.vda",
        image=image,
        format=request.disk_format or image.format,
        allocation=request.allocation,
        message=request.message,
    )


def _new_spec(
    state: LabState, survey: Survey, request: CreateRequest, image: GuestImage, disk: DiskSpec
) -> MachineSpec:
    return MachineSpec(
        name=request.name,
        lab=state.lab,
        lab_id=state.lab_id,
        id=request.id,
        memory=request.memory,
        vcpus=request.vcpus,
        image=image.name,
        boot=Boot(kernel=image.kernel, initramfs=image.initramfs, command_line=image.command_line),
        disks=(disk,),
        accelerator=survey.accelerator,
        cpu_model=request.cpu_model,
        panic_device=request.panic_device,
        agent=image.agent,
        genid=request.genid,
        console_log=free_console_log(state, request.name),
        chipset=request.chipset,
    )
