"""How each step is carried out, how one knows that it was, and how it is undone: one `match` each.

Every `do` may be repeated: done twice is done once.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, assert_never

from labkit.engine import archives, clone_work, migration_work, seals, snapshot_work
from labkit.engine.instances import Instances
from labkit.errors import HostTrouble, NotFound, WrongState
from labkit.hypervisor import disks
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshots import Snapshots
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps import (
    AttachDisk,
    BackUpDisks,
    BringImage,
    ConfigureMachine,
    ConvertImage,
    CopyImage,
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
    Step,
    StopServing,
    TakeSnapshot,
    UndefineMachine,
    UnpackBootFile,
    UnpackImage,
    UnpackMemory,
    WriteArchive,
    WriteMessage,
)
from labkit.storage import files, foreign, headers, making, nbd, qemu_img


class Copying(TypedDict):
    """What every call that copies data takes; see `Hands`."""

    on_bytes: Callable[[int, int], None]
    limit: Limit
    inherit: tuple[int, ...]


def _ignore(_sentence: str) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What steps are carried out with.

    Attributes:
        domains, snapshots: the hypervisor's. instances: the lab's others, for what goes over.
        on_bytes: hears of (bytes done, in all). limit: time and cancellation.
        inherit: descriptors of locks that child processes keep holding if we die.
        tell: hears a sentence about what did not come out as planned, though the act has been completed.
    """

    domains: Domains
    snapshots: Snapshots
    on_bytes: Callable[[int, int], None]
    limit: Limit
    inherit: tuple[int, ...] = ()
    tell: Callable[[str], None] = _ignore
    instances: Instances

    @property
    def copying(self) -> Copying:
        """The last three, as such calls name them."""
        return {"on_bytes": self.on_bytes, "limit": self.limit, "inherit": self.inherit}


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
            foreign.bring_in(step.source, target, step.target_format, step.allocation, **hands.copying)
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
        case RelabelSnapshot():
            hands.snapshots.relabel(step.machine_id, step.old, step.new, step.description, current=step.current)
        case FreezeImages():
            files.freeze_files(step.paths)
            seals.seal(step.paths)
        case MergeLayer():
            remark = snapshot_work.merge(step, domains, hands.on_bytes, hands.limit, hands.inherit)
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
            files.delete_files(step.paths)
            seals.break_seals(step.paths)
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
        case PullBases():
            clone_work.pull(step, domains, **hands.copying)
        case ReplaceImage():
            clone_work.replace(step)
        case DropRecords():
            migration_work.drop_records(step, domains)
        case MigrateMachine():
            migration_work.migrate(step, domains, hands.instances, hands.limit, hands.on_bytes)
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
        case UnpackBootFile():
            archives.unpack_boot_file(step, hands.on_bytes, hands.limit)
        case DefineAdopted():
            domains.define_text(step.xml, subject=step.spec.name)
        case _:
            assert_never(step)


def is_done(step: Step, state: LabState) -> bool:
    """Whether a step has been carried out, judged from what is there; deleting counts from the first file on."""
    by_id = {machine.id: machine for machine in state.machines.values()}
    match step:
        case CopyImage() | ConvertImage() | BringImage():
            return Path(step.target).exists()
        case CreateImage():
            return Path(step.path).exists()
        case CreateOverlay():
            return Path(step.path).exists()
        case StopServing():
            return step.disk not in state.served
        case RenameImage():
            return Path(step.new).exists()
        case TakeSnapshot():
            return snapshot_work.is_taken(step, state)
        case DropSaved():
            return step.machine_id not in by_id or by_id[step.machine_id].state != MachineState.SAVED
        case DefineFromSnapshot() | RestoreMemory():
            machine = by_id.get(step.machine_id)
            return machine is not None and {disk.path for disk in step.disks} <= {
                disk.path for disk in machine.spec.disks
            }
        case MarkCurrent():
            machine = by_id.get(step.machine_id)
            tree = state.snapshots.get(machine.name) if machine else None
            return tree is not None and tree.current == step.snapshot
        case ForgetSnapshot():
            machine = by_id.get(step.machine_id)
            return machine is None or step.snapshot not in state.snapshots.get(machine.name, ())
        case RelabelSnapshot():
            machine = by_id.get(step.machine_id)
            tree = state.snapshots.get(machine.name) if machine else None
            return tree is not None and step.new in tree and step.description in (None, tree[step.new].description)
        case FreezeImages():
            return all(not path or not os.access(path, os.W_OK) for path in step.paths)
        case MergeLayer():
            return not Path(step.layer).exists()
        case GrowImage():
            return step.path in state.images and state.images[step.path].capacity >= step.capacity
        case AttachDisk() | RepointDisk():  # begun for the running guest or the definition: only forward
            machine = by_id.get(step.machine_id)
            return any(disk.path == step.disk.path for spec in _specs(machine) for disk in spec.disks)
        case DetachDisk():
            machine = by_id.get(step.machine_id)
            return not all(any(disk.target == step.target for disk in spec.disks) for spec in _specs(machine))
        case WriteMessage():
            return files.is_written(Path(step.path), step.offset, step.length, step.text)
        case DefineMachine() | DefineAdopted():
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
        case LinkImages():
            return all(Path(path).exists() for path in step.paths)
        case BackUpDisks():
            return all(Path(disk.path).exists() for disk in step.disks)
        case RebaseImage():
            return step.path in state.images and state.images[step.path].backing == step.backing
        case DefineClones():
            return all(spec.id in by_id for spec in step.specs)
        case CopySnapshots():
            return set(step.names) <= set(state.snapshots.get(step.spec.name, ()))
        case PullBases():
            return clone_work.is_pulled(step)
        case ReplaceImage():
            return Path(step.path).exists() and not Path(step.draft).exists()
        case DropRecords() | GiveRecords():  # neither is a commit point, and both may be repeated
            return False
        case MigrateMachine():
            return migration_work.is_migrated(step, state)
        case EndInstance():
            return migration_work.is_ended(step)
        case WriteArchive() | UnpackMemory() | UnpackBootFile():
            return Path(step.target).exists()
        case UnpackImage():
            return Path(step.targets[0]).exists()
        case _:
            assert_never(step)


def _specs(machine: MachineFacts | None) -> tuple[MachineSpec, ...]:
    """The definition and, where it runs, what it runs with."""
    return tuple(spec for spec in (machine.spec, machine.live) if spec) if machine else ()


def undo(step: Step, hands: Hands) -> None:
    """Take a create step back; the others have no way back and none is tried."""
    match step:
        case DropRecords():
            migration_work.put_records_back(step, hands.domains)
        case WriteArchive() | UnpackMemory() | UnpackBootFile():
            archives.undo(step.target)
        case UnpackImage():
            archives.undo(step.targets[0], step.targets[1:])
        case CopyImage():
            files.delete_files([step.target])
        case BringImage():
            foreign.discard(Path(step.target))
            _remove_image(step.target, step.target_format)
        case ConvertImage():
            _remove_image(step.target, step.target_format)
        case CreateImage():
            _remove_image(step.path, step.format)
        case CreateOverlay():
            _remove_image(step.path, Format.QCOW2)
        case RenameImage():
            files.rename_file(Path(step.new), Path(step.old))
        case LinkImages():
            for path in step.paths:
                _remove_image(path, Format.QCOW2)
        case BackUpDisks():
            for disk in step.disks:
                _remove_image(disk.path, disk.format)
        case _:
            pass


def _remove_image(path: str, format: Format) -> None:
    """Remove an image that was just made, with all its files, and what a killed attempt has left."""
    making.discard(Path(path))
    try:
        made = headers.read_image(Path(path), format).files
    except FileNotFoundError:
        return
    except HostTrouble:
        made = (path,)  # a power cut has left the name and not the content
    files.delete_files(reversed(made))


def take_back(step: Step, state: LabState, hands: Hands) -> None:
    """Undo what a switch step did although it counts as not done; few can do a part of their work."""
    if isinstance(step, TakeSnapshot):
        snapshot_work.take_back(step, state, hands.domains, hands.snapshots)
    elif isinstance(step, DefineClones):
        clone_work.undefine(step, state, hands.domains)
    elif isinstance(step, PullBases):
        clone_work.take_back_pulls(step, hands.domains)
    if isinstance(step, MigrateMachine):
        migration_work.take_back(step, hands.domains, hands.instances)


def abandon(step: Step, hands: Hands) -> None:
    """End what the daemon still does for a create step of which nobody waits for the end."""
    if isinstance(step, BackUpDisks):
        clone_work.abort_back_up(step, hands.domains.connection)


def wait_until_settled(step: Step, hands: Hands) -> None:
    """Let the daemons end what they are still at with a step that was cut short, before anything is judged."""
    if isinstance(step, MigrateMachine):
        migration_work.wait_until_settled(step, hands.domains, hands.instances)
