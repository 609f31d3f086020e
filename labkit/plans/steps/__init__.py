"""The closed set of steps plans are made of, by family.

Each step describes itself completely (`BaseStep`): the command a person would type, the files it touches, the lab after
it. It belongs to one of three phases, which run in this order: *create* (can be undone), *switch* (the first such step
is the commit point: from there on only forward), *clean up*. How the steps of a family are carried out is in the module
of the same name in `engine/steps/`.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from labkit.plans.steps.archive import DefineAdopted, UnpackBootFile, UnpackImage, UnpackMemory, WriteArchive
from labkit.plans.steps.base import BaseStep, OnCancel, Outside, Phase, Touched
from labkit.plans.steps.clone import BackUpDisks, CopySnapshots, DefineClones, DiskBackup, LinkImages
from labkit.plans.steps.disk import AttachDisk, DetachDisk, RepointDisk, StopServing
from labkit.plans.steps.flatten import PullBases, ReplaceImage
from labkit.plans.steps.image import (
    BringImage,
    ConvertImage,
    CopyImage,
    CreateImage,
    CreateOverlay,
    RenameImage,
    WriteMessage,
)
from labkit.plans.steps.instant import CopyMemory, MapMemory, WakeClones
from labkit.plans.steps.layer import DeleteFiles, FreezeImages, GrowImage, MergeLayer, RebaseImage
from labkit.plans.steps.machine import ConfigureMachine, CutPower, DefineMachine, RenameMachine, UndefineMachine
from labkit.plans.steps.migration import DropRecords, EndInstance, GiveRecords, MigrateMachine
from labkit.plans.steps.restore import DefineFromSnapshot, DropSaved, MarkCurrent, RestoreMemory
from labkit.plans.steps.snapshot import ForgetSnapshot, RelabelSnapshot, ReviveSnapshot, TakeSnapshot
from labkit.plans.steps.warm import BringWarmDisk, SwitchOn, WakeFresh

ImageStep = CopyImage | WriteMessage | CreateImage | ConvertImage | BringImage | CreateOverlay | RenameImage
LayerStep = GrowImage | RebaseImage | FreezeImages | MergeLayer | DeleteFiles
DiskStep = AttachDisk | DetachDisk | RepointDisk | StopServing
MachineStep = DefineMachine | ConfigureMachine | RenameMachine | CutPower | UndefineMachine
SnapshotStep = TakeSnapshot | ForgetSnapshot | ReviveSnapshot | RelabelSnapshot
RestoreStep = DropSaved | DefineFromSnapshot | MarkCurrent | RestoreMemory
CloneStep = LinkImages | BackUpDisks | DefineClones | CopySnapshots
FlattenStep = PullBases | ReplaceImage
InstantStep = CopyMemory | MapMemory | WakeClones
WarmStep = SwitchOn | BringWarmDisk | WakeFresh
MigrationStep = DropRecords | MigrateMachine | GiveRecords | EndInstance
ArchiveStep = WriteArchive | UnpackImage | UnpackMemory | UnpackBootFile | DefineAdopted

Step = (
    ImageStep
    | LayerStep
    | DiskStep
    | MachineStep
    | SnapshotStep
    | RestoreStep
    | CloneStep
    | FlattenStep
    | InstantStep
    | WarmStep
    | MigrationStep
    | ArchiveStep
)

CreateStep = (
    ImageStep
    | RebaseImage
    | LinkImages
    | BackUpDisks
    | CopyMemory
    | MapMemory
    | BringWarmDisk
    | DropRecords
    | WriteArchive
    | UnpackImage
    | UnpackMemory
    | UnpackBootFile
)
"""The steps of the phase *create*: each can be undone."""

__all__ = [
    "ArchiveStep",
    "AttachDisk",
    "BackUpDisks",
    "BaseStep",
    "BringImage",
    "BringWarmDisk",
    "CloneStep",
    "ConfigureMachine",
    "ConvertImage",
    "CopyImage",
    "CopyMemory",
    "CopySnapshots",
    "CreateImage",
    "CreateOverlay",
    "CreateStep",
    "CutPower",
    "DefineAdopted",
    "DefineClones",
    "DefineFromSnapshot",
    "DefineMachine",
    "DeleteFiles",
    "DetachDisk",
    "DiskBackup",
    "DiskStep",
    "DropRecords",
    "DropSaved",
    "EndInstance",
    "FlattenStep",
    "ForgetSnapshot",
    "FreezeImages",
    "GiveRecords",
    "GrowImage",
    "ImageStep",
    "InstantStep",
    "LayerStep",
    "LinkImages",
    "MachineStep",
    "MapMemory",
    "MarkCurrent",
    "MergeLayer",
    "MigrateMachine",
    "MigrationStep",
    "OnCancel",
    "Outside",
    "Phase",
    "PullBases",
    "RebaseImage",
    "RelabelSnapshot",
    "RenameImage",
    "RenameMachine",
    "ReplaceImage",
    "RepointDisk",
    "RestoreMemory",
    "RestoreStep",
    "ReviveSnapshot",
    "SnapshotStep",
    "Step",
    "StopServing",
    "SwitchOn",
    "TakeSnapshot",
    "Touched",
    "UndefineMachine",
    "UnpackBootFile",
    "UnpackImage",
    "UnpackMemory",
    "WakeClones",
    "WakeFresh",
    "WarmStep",
    "WriteArchive",
    "WriteMessage",
]
