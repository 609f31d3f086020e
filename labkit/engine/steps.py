"""How each step is carried out, how one knows that it was, and how it is undone: one `match` each.

Every `do` may be repeated: done twice is done once.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from labkit.errors import NotFound, WrongState
from labkit.hypervisor.domains import Domains
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.state import LabState
from labkit.plans.steps import (
    AttachDisk,
    ConfigureMachine,
    ConvertImage,
    CopyImage,
    CreateImage,
    CutPower,
    DefineMachine,
    DeleteFiles,
    DetachDisk,
    GrowImage,
    RenameMachine,
    RepointDisk,
    Step,
    UndefineMachine,
    WriteMessage,
)
from labkit.storage import files, headers, making, qemu_img, zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What steps are carried out with.

    Attributes:
        domains: the hypervisor's. on_bytes: hears of (bytes done, in all). limit: time and cancellation.
        inherit: descriptors of locks that child processes keep holding if we die.
    """

    domains: Domains
    on_bytes: Callable[[int, int], None]
    limit: Limit
    inherit: tuple[int, ...] = ()


def do(step: Step, hands: Hands) -> None:
    """Carry a step out."""
    domains = hands.domains
    match step:
        case CopyImage():
            files.copy_file(Path(step.source), Path(step.target), on_bytes=hands.on_bytes, limit=hands.limit)
        case WriteMessage():
            files.write_padded(Path(step.path), step.offset, step.length, step.text)
        case CreateImage():
            qemu_img.create(
                Path(step.path),
                step.format,
                step.capacity,
                step.allocation,
                cluster_size=step.cluster_size,
                extended_l2=step.extended_l2,
                on_bytes=hands.on_bytes,
                limit=hands.limit,
                inherit=hands.inherit,
            )
        case ConvertImage():
            qemu_img.convert(
                Path(step.source),
                step.source_format,
                Path(step.target),
                step.target_format,
                step.allocation,
                capacity=step.capacity,
                on_bytes=hands.on_bytes,
                limit=hands.limit,
                inherit=hands.inherit,
            )
        case GrowImage() if step.machine_id and step.disk_target:
            domains.grow_disk(step.machine_id, step.disk_target, step.capacity)
        case GrowImage():
            qemu_img.resize(
                Path(step.path),
                step.format,
                step.capacity,
                on_bytes=hands.on_bytes,
                limit=hands.limit,
                inherit=hands.inherit,
            )
            if step.allocation is Allocation.FIXED:  # also after a crash between the two
                zeros.fill_holes(Path(step.path), hands.on_bytes)
        case AttachDisk():
            domains.attach(step.machine_id, step.disk)
        case DetachDisk():
            domains.detach(step.machine_id, step.target, hands.limit)
        case RepointDisk():
            domains.repoint(step.machine_id, step.disk)
        case DefineMachine():
            domains.define(step.spec)
        case ConfigureMachine():
            domains.configure(step.machine_id, step.changes)
        case RenameMachine():
            domains.rename(step.machine_id, step.new_domain, step.new)
        case CutPower():
            with contextlib.suppress(NotFound, WrongState):  # it is gone, or off already
                domains.kill(step.machine_id)
        case UndefineMachine():
            with contextlib.suppress(NotFound):
                domains.undefine(step.machine_id)
        case DeleteFiles():
            files.delete_files(step.paths)
        case _:
            assert_never(step)


def is_done(step: Step, state: LabState) -> bool:
    """Whether a step has been carried out, judged from what is there; deleting counts from the first file on."""
    by_id = {machine.id: machine for machine in state.machines.values()}
    match step:
        case CopyImage() | ConvertImage():
            return Path(step.target).exists()
        case CreateImage():
            return Path(step.path).exists()
        case GrowImage():
            return step.path in state.images and state.images[step.path].capacity >= step.capacity
        case AttachDisk() | RepointDisk():
            machine = by_id.get(step.machine_id)
            return machine is not None and any(disk.path == step.disk.path for disk in machine.spec.disks)
        case DetachDisk():
            machine = by_id.get(step.machine_id)
            return machine is None or all(disk.target != step.target for disk in machine.spec.disks)
        case WriteMessage():
            return files.is_written(Path(step.path), step.offset, step.length, step.text)
        case DefineMachine():
            return step.spec.id in by_id
        case ConfigureMachine():
            machine = by_id.get(step.machine_id)
            wanted = step.changes
            return machine is not None and all(
                asked is None or asked == now
                for asked, now in (
                    (wanted.memory, machine.spec.memory),
                    (wanted.vcpus, machine.spec.vcpus),
                    (wanted.cpu_model, machine.spec.cpu_model),
                )
            )
        case RenameMachine():
            return step.machine_id in by_id and by_id[step.machine_id].name == step.new
        case CutPower():
            return step.machine_id not in by_id or not by_id[step.machine_id].is_active
        case UndefineMachine():
            return step.machine_id not in by_id
        case DeleteFiles():
            return not all(Path(path).exists() for path in step.paths)
        case _:
            assert_never(step)


def undo(step: Step) -> None:
    """Take a create step back; the others have no way back and none is tried."""
    match step:
        case CopyImage():
            files.delete_files([step.target])
        case ConvertImage():
            _remove_image(step.target, step.target_format)
        case CreateImage():
            _remove_image(step.path, step.format)
        case _:
            pass


def _remove_image(path: str, format: Format) -> None:
    """Remove an image that was just made, with all its files, and what a killed attempt has left."""
    making.discard(Path(path))
    with contextlib.suppress(FileNotFoundError):
        files.delete_files(reversed(headers.read_image(Path(path), format).files))
