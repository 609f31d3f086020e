"""The steps of clones: link, back up, define, flatten; and the ways back of those that have one.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.engine import seals
from labkit.errors import LabError
from labkit.hypervisor import backups, clones, jobs
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domains import Domains
from labkit.limits import Limit
from labkit.model.image import Allocation
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps import (
    BackUpDisks,
    CopySnapshots,
    DefineClones,
    LinkImages,
    PullBases,
    RebaseImage,
    ReplaceImage,
)
from labkit.storage import headers, linking, qemu_img, zeros
from labkit.storage.files import sync_file

OnBytes = Callable[[int, int], None]


def link(step: LinkImages, limit: Limit, inherit: Sequence[int]) -> None:
    """Create the differencing images."""
    paths = [Path(path) for path in step.paths]
    linking.link(paths, Path(step.backing), step.backing_format, limit=limit, inherit=inherit)


def back_up(step: BackUpDisks, connection: Connection, on_bytes: OnBytes, limit: Limit, inherit: Sequence[int]) -> None:
    """Make the images and let the hypervisor copy into them what the disks hold at one instant."""
    for disk in step.disks:
        path = Path(disk.path)
        qemu_img.create(path, disk.format, disk.capacity, disk.allocation, limit=limit, inherit=inherit)
    targets = {disk.target: (disk.path, disk.format) for disk in step.disks}
    backups.back_up(connection, step.machine_id, targets, quiesce=step.quiesce, on_bytes=on_bytes, limit=limit)
    for disk in step.disks:
        files = headers.read_image(Path(disk.path), disk.format).files
        for file in map(Path, files):
            if disk.allocation is Allocation.FIXED:
                zeros.fill_holes(file, on_bytes, limit)
            sync_file(file)


def abort_back_up(step: BackUpDisks, connection: Connection) -> None:
    """End the copying that a killed kernel has left behind."""
    backups.abort_backup(connection, step.machine_id, thaw=step.quiesce)


def rebase(step: RebaseImage, on_bytes: OnBytes, limit: Limit, inherit: Sequence[int]) -> None:
    """Let an image depend on another."""
    path, backing = Path(step.path), Path(step.backing)
    if step.exact:
        qemu_img.rebase(path, backing, step.backing_format, on_bytes=on_bytes, limit=limit, inherit=inherit)
    else:
        linking.name_backing(path, backing, step.backing_format)


def define(step: DefineClones, domains: Domains) -> None:
    """Make the clones known."""
    clones.define_clones(domains.connection, step.source_id, step.snapshot, step.specs)


def undefine(step: DefineClones, state: LabState, domains: Domains) -> None:
    """Let the hypervisor forget those clones it knows already."""
    wanted = {spec.id for spec in step.specs}
    for machine in state.machines.values():
        if machine.id in wanted:
            domains.undefine(machine.id)


def copy_snapshots(step: CopySnapshots, connection: Connection) -> None:
    """Give the clone its original's snapshots."""
    clones.copy_snapshots(connection, step.source_id, step.spec, step.names, step.current, dict(step.paths))


def pull(step: PullBases, domains: Domains, on_bytes: OnBytes, limit: Limit, inherit: Sequence[int] = ()) -> None:
    """Let the images stand alone; what a guest's QEMU still held back of them when it was killed is copied anew."""
    for disk, base in zip(step.disks, step.bases, strict=True):
        if _runs(step.machine_id, domains):
            if stands_alone(disk):
                jobs.flush(domains.connection, step.machine_id)
            else:
                jobs.pull(domains.connection, step.machine_id, disk.target, None, limit, on_bytes)
            continue
        path = Path(disk.path)
        _depend_again(disk, base)
        qemu_img.rebase(path, None, None, on_bytes=on_bytes, limit=limit, inherit=inherit)


def take_back_pulls(step: PullBases, domains: Domains) -> None:
    """End the copying that nobody waits for any more; what was copied changes no content."""
    clones.abort_pulls(domains.connection, step.machine_id, step.disks)
    for disk, base in zip(step.disks, step.bases, strict=True):
        if _runs(step.machine_id, domains):
            with contextlib.suppress(LabError):
                jobs.flush(domains.connection, step.machine_id)
        else:
            _depend_again(disk, base)


def is_pulled(step: PullBases) -> bool:
    """Whether all of them stand alone."""
    return all(map(stands_alone, step.disks))


def stands_alone(disk: DiskSpec) -> bool:
    """Whether an image's header names no other below it."""
    return headers.read_image(Path(disk.path), disk.format).backing is None


def _depend_again(disk: DiskSpec, base: DiskSpec) -> None:
    """Let an image of a guest that has ended depend on what it did.

    Its QEMU may have been killed when the header was written and not yet all tables. What was copied is what would
    be read below, so that changes no content.
    """
    if stands_alone(disk):
        linking.name_backing(Path(disk.path), Path(base.path), base.format)


def replace(step: ReplaceImage) -> None:
    """Put the new image in its place, and seal it where it is frozen."""
    linking.replace_image(Path(step.draft), Path(step.path), frozen=step.frozen)
    if step.frozen:
        seals.seal([step.path])


def _runs(machine_id: str, domains: Domains) -> bool:
    return domains.state(machine_id)[0] in (MachineState.RUNNING, MachineState.PAUSED)
