"""What a step writes, deletes, or lets the hypervisor write: the files by which an act could reach beyond its lab.

Values in, paths out. Knows: steps. Must not know: where a lab's folder is, what lies in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from labkit.model.machine import DiskSpec, MachineSpec
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


def touched(step: Step) -> tuple[str, ...]:
    """Return the files of a lab that a step writes or deletes, or that it gives the hypervisor to write.

    Not among them: an export's target and boot files, which lie elsewhere by their nature, and sockets.
    """
    match step:
        case CopyImage() | ConvertImage() | BringImage() | CopyMemory() | UnpackMemory():
            return (step.target,)
        case WriteMessage() | CreateImage() | CreateOverlay() | GrowImage() | RebaseImage():
            return (step.path,)
        case UnpackImage() | LinkImages() | BackUpDisks():
            return tuple(step.targets)
        case RenameImage():
            return (step.old, step.new)
        case ReplaceImage():
            return (step.draft, step.path)
        case MergeLayer():
            return (step.layer, step.child)
        case FreezeImages() | DeleteFiles():
            return step.paths
        case TakeSnapshot():
            return (*_paths(step.overlays), *([step.memory] if step.memory else []))
        case DefineFromSnapshot() | RestoreMemory() | PullBases():
            return _paths(step.disks)
        case AttachDisk() | RepointDisk():
            return _paths([step.disk])
        case DefineMachine() | DefineAdopted() | CopySnapshots():
            return _written(step.spec)
        case DefineClones():
            return tuple(path for spec in step.specs for path in _written(spec))
        case WakeClones():
            return (step.copy, *(path for spec in step.specs for path in _written(spec)))
        case EndInstance():
            return (step.folder,)
        case WriteArchive() | UnpackBootFile() | StopServing() | MigrateMachine():
            return ()
        case ConfigureMachine() | RenameMachine() | CutPower() | UndefineMachine() | DetachDisk() | DropSaved():
            return ()
        case MarkCurrent() | ForgetSnapshot() | ReviveSnapshot() | RelabelSnapshot() | DropRecords() | GiveRecords():
            return ()
        case _:
            assert_never(step)


def _paths(disks: Iterable[DiskSpec]) -> tuple[str, ...]:
    return tuple(disk.path for disk in disks if not disk.served)


def _written(spec: MachineSpec) -> tuple[str, ...]:
    """What a guest of this definition writes: its disks, and what it prints."""
    return (*_paths(spec.disks), *([spec.console_log] if spec.console_log else []))
