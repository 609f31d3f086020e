"""The ways back: how a create step is undone, and what a step that was cut short leaves to be ended.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.engine import archives, clone_work, migration_work, snapshot_work
from labkit.engine.hands import Hands
from labkit.errors import HostTrouble
from labkit.model.image import Format
from labkit.model.state import LabState
from labkit.plans.steps import (
    BackUpDisks,
    BringImage,
    ConvertImage,
    CopyImage,
    CopyMemory,
    CreateImage,
    CreateOverlay,
    DefineAdopted,
    DefineClones,
    DropRecords,
    LinkImages,
    MigrateMachine,
    PullBases,
    RenameImage,
    Step,
    TakeSnapshot,
    UnpackBootFile,
    UnpackImage,
    UnpackMemory,
    WriteArchive,
)
from labkit.storage import bringing, files, headers, making


def undo(step: Step, hands: Hands) -> None:
    """Take a create step back; the others have no way back and none is tried."""
    match step:
        case DropRecords():
            migration_work.put_records_back(step, hands.domains)
        case WriteArchive() | UnpackMemory() | UnpackBootFile():
            archives.undo(step.target)
        case UnpackImage():
            archives.undo(step.targets[0], step.targets[1:])
        case CopyImage() | CopyMemory():
            files.delete_files([step.target])
        case BringImage():
            bringing.discard(Path(step.target))
            _remove_image(step.target, step.target_format)
        case ConvertImage():
            _remove_image(step.target, step.target_format)
        case CreateImage():
            _remove_image(step.path, step.format)
        case CreateOverlay():
            _remove_image(step.path, Format.QCOW2)
        case RenameImage():
            if os.path.lexists(step.new) and not os.path.lexists(step.old):  # else it was never done
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
    elif isinstance(step, DefineAdopted):
        migration_work.forget_adopted(step, state, hands.domains)
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
