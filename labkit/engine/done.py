"""How one knows that a step has been carried out: from what is there, never from what was reported.

Knows: the state, files. Must not know: how a step is carried out, the journal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from labkit.engine import clone_work, migration_work, snapshot_work
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.state import LabState
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
from labkit.storage import files


def is_done(step: Step, state: LabState) -> bool:
    """Whether a step has been carried out, judged from what is there; deleting counts from the first file on."""
    by_id = {machine.id: machine for machine in state.machines.values()}
    match step:
        case CopyImage() | ConvertImage() | BringImage() | CopyMemory():
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
        case ReviveSnapshot():
            machine = by_id.get(step.machine_id)
            return machine is not None and step.snapshot in state.snapshots.get(machine.name, ())
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
        case DefineMachine():
            return step.spec.id in by_id
        case DefineAdopted():
            machine = by_id.get(step.spec.id)
            known = state.snapshots.get(machine.name, ()) if machine else ()
            return machine is not None and all(record.name in known for record in step.records)
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
        case DropRecords() | GiveRecords() | WakeClones():  # none is a commit point, and all may be repeated
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
