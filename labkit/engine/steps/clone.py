"""How clones are made: linking images, copying disks of a running guest, defining clones, copying snapshot trees.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from labkit.engine.context import Context
from labkit.hypervisor import backups, clones
from labkit.model.image import Allocation, Format
from labkit.model.state import LabState
from labkit.plans.steps import BackUpDisks, CloneStep, CopySnapshots, DefineClones, LinkImages
from labkit.storage import atomic, headers, linking, qemu_img, zeros
from labkit.storage.files import sync_file


def do(step: CloneStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case LinkImages():
            paths = [Path(path) for path in step.paths]
            linking.link(paths, Path(step.backing), step.backing_format, limit=context.limit, inherit=context.inherit)
        case BackUpDisks():
            _back_up(step, context)
        case DefineClones():
            clones.define_clones(context.domains.connection, step.source_id, step.snapshot, step.specs)
        case CopySnapshots():
            connection, paths_of = context.domains.connection, dict(step.paths)
            clones.copy_snapshots(connection, step.source_id, step.spec, step.names, step.current, paths_of)
        case _:
            assert_never(step)


def is_done(step: CloneStep, state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case LinkImages():
            return all(Path(path).exists() for path in step.paths)
        case BackUpDisks():
            return all(Path(disk.path).exists() for disk in step.disks)
        case DefineClones():
            return all(state.find_machine(spec.id) for spec in step.specs)
        case CopySnapshots():
            return set(step.names) <= set(state.snapshots.get(step.spec.name, ()))
        case _:
            assert_never(step)


def undo(step: LinkImages | BackUpDisks, _context: Context) -> None:
    """Undo a step."""
    match step:
        case LinkImages():
            for path in step.paths:
                atomic.remove_image(Path(path), Format.QCOW2)
        case BackUpDisks():
            for disk in step.disks:
                atomic.remove_image(Path(disk.path), disk.format)
        case _:
            assert_never(step)


def _back_up(step: BackUpDisks, context: Context) -> None:
    """Make the images and let the hypervisor copy what the disks hold at one instant into them."""
    on_bytes, limit = context.on_bytes, context.limit
    for disk in step.disks:
        path = Path(disk.path)
        qemu_img.create(path, disk.format, disk.capacity, disk.allocation, limit=limit, inherit=context.inherit)
    targets = {disk.target: (disk.path, disk.format) for disk in step.disks}
    connection = context.domains.connection
    backups.back_up(connection, step.machine_id, targets, quiesce=step.quiesce, on_bytes=on_bytes, limit=limit)
    for disk in step.disks:
        files = headers.read_image(Path(disk.path), disk.format).files
        for file in map(Path, files):
            if disk.allocation is Allocation.FIXED:
                zeros.fill_holes(file, on_bytes, limit)
            sync_file(file)


def abort_back_up(step: BackUpDisks, context: Context) -> None:
    """End the copying that a killed kernel has left behind."""
    backups.abort_backup(context.domains.connection, step.machine_id, frozen=step.quiesce)


def undefine(step: DefineClones, state: LabState, context: Context) -> None:
    """Undefine those clones that the hypervisor knows already."""
    wanted = {spec.id for spec in step.specs}
    for machine in state.machines.values():
        if machine.id in wanted:
            context.domains.undefine(machine.id)
