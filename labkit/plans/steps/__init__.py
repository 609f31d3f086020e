"""The closed set of steps plans are made of.

Each step says what a person would type (`command`), names the files it touches, and belongs to a phase.
Phases run in order: *create* (can be undone), *switch* (the first is the commit point: from there only
forward), *clean up*.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from labkit.plans.steps.archive import (
    DefineAdopted,
    UnpackBootFile,
    UnpackImage,
    UnpackMemory,
    WriteArchive,
)
from labkit.plans.steps.base import Phase
from labkit.plans.steps.clone import (
    BackUpDisks,
    CopySnapshots,
    DefineClones,
    DiskBackup,
    LinkImages,
    PullBases,
    RebaseImage,
    ReplaceImage,
)
from labkit.plans.steps.disk import (
    AttachDisk,
    DetachDisk,
    RepointDisk,
)
from labkit.plans.steps.image import (
    BringImage,
    ConvertImage,
    CopyImage,
    CreateImage,
    CreateOverlay,
    DeleteFiles,
    FreezeImages,
    GrowImage,
    MergeLayer,
    RenameImage,
    StopServing,
    WriteMessage,
)
from labkit.plans.steps.machine import (
    ConfigureMachine,
    CutPower,
    DefineMachine,
    RenameMachine,
    UndefineMachine,
)
from labkit.plans.steps.migration import (
    DropRecords,
    EndInstance,
    GiveRecords,
    MigrateMachine,
)
from labkit.plans.steps.snapshot import (
    DefineFromSnapshot,
    DropSaved,
    ForgetSnapshot,
    MarkCurrent,
    RelabelSnapshot,
    RestoreMemory,
    ReviveSnapshot,
    TakeSnapshot,
)
from labkit.plans.steps.waking import CopyMemory, WakeClones

Step = (
    CopyImage
    | WriteMessage
    | CreateImage
    | ConvertImage
    | BringImage
    | StopServing
    | CreateOverlay
    | RenameImage
    | GrowImage
    | FreezeImages
    | MergeLayer
    | DeleteFiles
    | DefineMachine
    | ConfigureMachine
    | RenameMachine
    | CutPower
    | UndefineMachine
    | AttachDisk
    | DetachDisk
    | RepointDisk
    | TakeSnapshot
    | DropSaved
    | DefineFromSnapshot
    | MarkCurrent
    | RestoreMemory
    | ForgetSnapshot
    | RelabelSnapshot
    | ReviveSnapshot
    | LinkImages
    | BackUpDisks
    | RebaseImage
    | DefineClones
    | CopySnapshots
    | CopyMemory
    | WakeClones
    | PullBases
    | ReplaceImage
    | DropRecords
    | MigrateMachine
    | GiveRecords
    | EndInstance
    | WriteArchive
    | UnpackImage
    | UnpackMemory
    | UnpackBootFile
    | DefineAdopted
)

__all__ = [
    "AttachDisk",
    "BackUpDisks",
    "BringImage",
    "ConfigureMachine",
    "ConvertImage",
    "CopyImage",
    "CopyMemory",
    "CopySnapshots",
    "CreateImage",
    "CreateOverlay",
    "CutPower",
    "DefineAdopted",
    "DefineClones",
    "DefineFromSnapshot",
    "DefineMachine",
    "DeleteFiles",
    "DetachDisk",
    "DiskBackup",
    "DropRecords",
    "DropSaved",
    "EndInstance",
    "ForgetSnapshot",
    "FreezeImages",
    "GiveRecords",
    "GrowImage",
    "LinkImages",
    "MarkCurrent",
    "MergeLayer",
    "MigrateMachine",
    "Phase",
    "PullBases",
    "RebaseImage",
    "RelabelSnapshot",
    "RenameImage",
    "RenameMachine",
    "ReplaceImage",
    "RepointDisk",
    "RestoreMemory",
    "ReviveSnapshot",
    "Step",
    "StopServing",
    "TakeSnapshot",
    "UndefineMachine",
    "UnpackBootFile",
    "UnpackImage",
    "UnpackMemory",
    "WakeClones",
    "WriteArchive",
    "WriteMessage",
]
