"""Small labs as values, for tests of what is pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.model.image import Allocation, Format, Greeting, GuestImage, ImageFacts
from labkit.model.machine import (
    Accelerator,
    Boot,
    DiskSpec,
    MachineFacts,
    MachineSpec,
    MachineState,
    Reason,
)
from labkit.model.state import LabState
from labkit.plans.creation import CreateRequest
from labkit.plans.machine import Survey
from labkit.units import GIB, MIB

HOME = "/labs/course"
SURVEY = Survey(host_memory=8 * GIB, host_cpus=2, free_bytes=10 * GIB, accelerator=Accelerator.TCG)

TINY = GuestImage(
    name="tiny",
    kernel="/data/images/blobs/0123456789abcdef-vmlinux",
    initramfs="/data/images/blobs/0123456789abcdef-initramfs",
    command_line="console=ttyS0 quiet",
    disk="/data/images/blobs/0123456789abcdef-disk.qcow2",
    format=Format.QCOW2,
    capacity=64 * MIB,
    disk_bytes=6 * MIB,
    minimum_memory=96 * MIB,
    agent=True,
)
SECTOR = replace(
    TINY,
    name="sector",
    kernel=None,
    initramfs=None,
    command_line="",
    disk="/data/images/blobs/0123456789abcdef-disk.raw",
    format=Format.RAW,
    capacity=MIB,
    disk_bytes=4096,
    minimum_memory=MIB,
    agent=False,
    message=Greeting(offset=400, length=32),
)


def lab(*machines: MachineFacts, name: str = "course", **changes: Any) -> LabState:
    """A lab of some machines, each with the images of its disks."""
    images = {disk.path: image(disk.path) for facts in machines for disk in facts.spec.disks}
    state = LabState(
        lab=name,
        lab_id="lab-id",
        home=HOME,
        machines={facts.name: facts for facts in machines},
        images=images,
        guest_images={"tiny": TINY, "sector": SECTOR},
    )
    return replace(state, **changes)


def image(path: str, *, allocated: int = 6 * MIB) -> ImageFacts:
    """An image as it lies on the host."""
    return ImageFacts(
        path=path,
        format=Format.QCOW2,
        capacity=64 * MIB,
        length=allocated,
        allocated=allocated,
        allocation=Allocation.DYNAMIC,
        files=(path,),
    )


def machine(name: str, state: MachineState = MachineState.OFF, *, lab: str = "course") -> MachineFacts:
    """A machine of the tiny image."""
    path = f"{HOME}/disks/{name}.vda.0.qcow2"
    spec = MachineSpec(
        name=name,
        lab=lab,
        lab_id="lab-id",
        id=f"id-of-{name}",
        memory=128 * MIB,
        vcpus=1,
        image="tiny",
        boot=Boot(kernel=TINY.kernel, initramfs=TINY.initramfs, command_line=TINY.command_line),
        disks=(DiskSpec(name=f"{name}.vda", target="vda", path=path, format=Format.QCOW2),),
        accelerator=Accelerator.TCG,
        genid=f"genid-of-{name}",
        console_log=f"{HOME}/consoles/{name}.0.log",
    )
    active = state in (MachineState.RUNNING, MachineState.PAUSED)
    return MachineFacts(spec=spec, live=spec if active else None, state=state, reason=Reason.UNKNOWN)


def request(name: str = "web", **changes: Any) -> CreateRequest:
    """A machine as asked for."""
    made = CreateRequest(name=name, id=f"new-id-of-{name}", genid="new-genid", image="tiny", memory=128 * MIB, vcpus=1)
    return replace(made, **changes)
