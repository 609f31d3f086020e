"""How each step is carried out: one `match`.

Every `do` may be repeated: done twice is done once. How one knows that it was is `done.py`'s, the way back
`undoing.py`'s.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import assert_never

from labkit.engine import archives, clone_work, migration_work, seals, snapshot_work, waking
from labkit.engine.deleting import delete_unneeded
from labkit.engine.hands import Hands
from labkit.errors import NotFound, WrongState
from labkit.hypervisor import disks
from labkit.model.image import Allocation, Format
from labkit.plans.steps import (
    AttachDisk,
    BackUpDisks,
    BringImage,
    ConfigureMachine,
    ConvertImage,
    CopyImage,
    CopyMemory,
    CopySnapshots,
    CreateImage,
    CreateOverlay,
    CutPower,
    DefineAdopted,
    DefineClones,
    DefineFromSnapshot,
    DefineMachine,
    DeleteFiles,
    DetachDisk,
    DropRecords,
    DropSaved,
    EndInstance,
    ForgetSnapshot,
    FreezeImages,
    GiveRecords,
    GrowImage,
    LinkImages,
    MarkCurrent,
    MergeLayer,
    MigrateMachine,
    PullBases,
    RebaseImage,
    RelabelSnapshot,
    RenameImage,
    RenameMachine,
    ReplaceImage,
    RepointDisk,
    RestoreMemory,
    ReviveSnapshot,
    Step,
    StopServing,
    TakeSnapshot,
    UndefineMachine,
    UnpackBootFile,
    UnpackImage,
    UnpackMemory,
    WakeClones,
    WriteArchive,
    WriteMessage,
)
from labkit.storage import bringing, files, headers, nbd, qemu_img


def do(step: Step, hands: Hands) -> None:
    """Carry a step out."""
    domains = hands.domains
    match step:
        case CopyImage():
            source, target = Path(step.source), Path(step.target)
            files.copy_file(source, target, on_bytes=hands.on_bytes, limit=hands.limit, reflink=step.reflink)
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
                **hands.copying,
            )
        case ConvertImage():
            qemu_img.convert(
                Path(step.source),
                step.source_format,
                Path(step.target),
                step.target_format,
                step.allocation,
                capacity=step.capacity,
                **hands.copying,
            )
        case BringImage():
            target = Path(step.target)
            bringing.bring_in(step.source, target, step.target_format, step.allocation, **hands.copying)
        case StopServing():
            nbd.stop_server(Path(step.socket))
        case CreateOverlay():
            qemu_img.create(
                Path(step.path),
                Format.QCOW2,
                headers.read_image(Path(step.backing), step.backing_format).capacity,
                Allocation.DYNAMIC,
                backing=Path(step.backing),
                backing_format=step.backing_format,
                limit=hands.limit,
                inherit=hands.inherit,
            )
        case RenameImage():
            files.rename_file(Path(step.old), Path(step.new))
        case TakeSnapshot():
            snapshot_work.take(step, domains, hands.snapshots)
        case DropSaved():
            hands.snapshots.drop_saved(step.machine_id)
        case DefineFromSnapshot():
            hands.snapshots.define_from(step.machine_id, step.snapshot, step.disks, step.accelerator)
        case MarkCurrent():
            hands.snapshots.mark_current(step.machine_id, step.snapshot)
        case RestoreMemory():
            snapshot_work.restore_memory(step, domains, hands.snapshots)
        case ForgetSnapshot():
            with contextlib.suppress(NotFound):
                hands.snapshots.forget(step.machine_id, step.snapshot, then_current=step.then_current)
        case ReviveSnapshot():
            hands.snapshots.revive(step.machine_id, step.snapshot, step.xml, parent=step.parent)
        case RelabelSnapshot():
            hands.snapshots.relabel(step.machine_id, step.old, step.new, step.description, current=step.current)
        case FreezeImages():
            files.freeze_files(step.paths)
            seals.seal(step.paths, only_new=step.known)
        case MergeLayer():
            remark = snapshot_work.merge(step, hands)
            if remark:
                hands.tell(remark)
        case GrowImage() if step.machine_id and step.disk_target:
            disks.grow_disk(domains, step.machine_id, step.disk_target, step.capacity)
        case GrowImage():
            qemu_img.resize(
                Path(step.path),
                step.format,
                step.capacity,
                allocation=step.allocation,  # what it was before: a crash may have cut the growth short
                **hands.copying,
            )
        case AttachDisk():
            disks.attach(domains, step.machine_id, step.disk)
        case DetachDisk():
            disks.detach(domains, step.machine_id, step.target, hands.limit)
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
            delete_unneeded(step.paths, hands)
        case LinkImages():
            clone_work.link(step, hands.limit, hands.inherit)
        case BackUpDisks():
            clone_work.back_up(step, domains.connection, **hands.copying)
        case RebaseImage():
            clone_work.rebase(step, **hands.copying)
        case DefineClones():
            clone_work.define(step, domains)
        case CopySnapshots():
            clone_work.copy_snapshots(step, domains.connection)
        case CopyMemory():
            source, target = Path(step.source), Path(step.target)
            files.copy_file(source, target, on_bytes=hands.on_bytes, limit=hands.limit)
        case WakeClones():
            waking.wake(step, hands)
        case PullBases():
            clone_work.pull(step, domains, **hands.copying)
        case ReplaceImage():
            clone_work.replace(step)
        case DropRecords():
            migration_work.drop_records(step, domains)
        case MigrateMachine():
            migration_work.migrate(step, hands)
        case GiveRecords():
            migration_work.give_records(step, hands.instances)
        case EndInstance():
            migration_work.end_instance(step, hands.instances)
        case WriteArchive():
            archives.write(step, hands.on_bytes, hands.limit)
        case UnpackImage():
            archives.unpack_image(step, hands.on_bytes, hands.limit)
        case UnpackMemory():
            archives.unpack_memory(step, hands.on_bytes, hands.limit)
            seals.seal([step.target])
        case UnpackBootFile():
            archives.unpack_boot_file(step, hands.on_bytes, hands.limit)
        case DefineAdopted():
            migration_work.define_adopted(step, domains)
        case _:
            assert_never(step)
