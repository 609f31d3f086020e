"""How steps are carried out: a module for each family of `plans/steps/`; this one passes each step on to its family.

For each step its family's module says how it is done (`do`), how one can see that it was done (`is_done`, from the
state, never from what was reported) and, if it can be undone, how (`undo`). Each `do` may be repeated without a further
effect. If a family forgets one of its steps, mypy says so.
Knows: the families. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

from typing import assert_never

from labkit.engine.context import Context
from labkit.engine.steps import (
    archive,
    clone,
    disk,
    flatten,
    image,
    instant,
    layer,
    machine,
    migration,
    restore,
    snapshot,
    warm,
)
from labkit.model.state import LabState
from labkit.plans.steps import (
    ArchiveStep,
    AttachDisk,
    BackUpDisks,
    CloneStep,
    CreateStep,
    DefineAdopted,
    DefineClones,
    DiskStep,
    FlattenStep,
    ImageStep,
    InstantStep,
    LayerStep,
    MachineStep,
    MigrateMachine,
    MigrationStep,
    PullBases,
    RestoreStep,
    SnapshotStep,
    Step,
    TakeSnapshot,
    WarmStep,
)


def do_step(step: Step, context: Context) -> None:
    """Carry a step out."""
    if isinstance(step, ImageStep):
        image.do(step, context)
    elif isinstance(step, LayerStep):
        layer.do(step, context)
    elif isinstance(step, DiskStep):
        disk.do(step, context)
    elif isinstance(step, MachineStep):
        machine.do(step, context)
    elif isinstance(step, SnapshotStep):
        snapshot.do(step, context)
    elif isinstance(step, RestoreStep):
        restore.do(step, context)
    elif isinstance(step, CloneStep):
        clone.do(step, context)
    elif isinstance(step, FlattenStep):
        flatten.do(step, context)
    elif isinstance(step, InstantStep):
        instant.do(step, context)
    elif isinstance(step, WarmStep):
        warm.do(step, context)
    elif isinstance(step, MigrationStep):
        migration.do(step, context)
    elif isinstance(step, ArchiveStep):
        archive.do(step, context)
    else:
        assert_never(step)


def is_done(step: Step, state: LabState) -> bool:
    """Whether a step has been carried out, judged by the state; a deletion counts from the first file on."""
    if isinstance(step, ImageStep):
        return image.is_done(step, state)
    if isinstance(step, LayerStep):
        return layer.is_done(step, state)
    if isinstance(step, DiskStep):
        return disk.is_done(step, state)
    if isinstance(step, MachineStep):
        return machine.is_done(step, state)
    if isinstance(step, SnapshotStep):
        return snapshot.is_done(step, state)
    if isinstance(step, RestoreStep):
        return restore.is_done(step, state)
    if isinstance(step, CloneStep):
        return clone.is_done(step, state)
    if isinstance(step, FlattenStep):
        return flatten.is_done(step, state)
    if isinstance(step, InstantStep):
        return instant.is_done(step, state)
    if isinstance(step, WarmStep):
        return warm.is_done(step, state)
    if isinstance(step, MigrationStep):
        return migration.is_done(step, state)
    if isinstance(step, ArchiveStep):
        return archive.is_done(step, state)
    assert_never(step)


def undo(step: Step, context: Context) -> None:
    """Undo a create step; other steps cannot be undone and are left alone."""
    if not isinstance(step, CreateStep):
        return
    if isinstance(step, ImageStep):
        image.undo(step, context)
    elif isinstance(step, LayerStep):
        layer.undo(step, context)
    elif isinstance(step, CloneStep):
        clone.undo(step, context)
    elif isinstance(step, InstantStep):
        instant.undo(step, context)
    elif isinstance(step, WarmStep):
        warm.undo(step, context)
    elif isinstance(step, MigrationStep):
        migration.undo(step, context)
    elif isinstance(step, ArchiveStep):
        archive.undo(step, context)
    else:
        assert_never(step)


def take_back(step: Step, state: LabState, context: Context) -> None:
    """Undo the part of its work that a switch step did although it counts as not done; few steps leave such a part."""
    match step:
        case TakeSnapshot():
            snapshot.take_back(step, state, context)
        case DefineClones():
            clone.undefine(step, state, context)
        case PullBases():
            flatten.take_back(step, context)
        case DefineAdopted():
            archive.forget(step, state, context)
        case AttachDisk():
            disk.take_back(step, context)
        case MigrateMachine():
            migration.take_back(step, context)
        case _:
            pass


def abandon(step: Step, context: Context) -> None:
    """End what the daemon still does for a create step that nobody waits for any more."""
    if isinstance(step, BackUpDisks):
        clone.abort_back_up(step, context)


def wait_until_settled(step: Step, context: Context) -> None:
    """Let the daemons finish what they are still doing for an interrupted step, before anything is judged."""
    if isinstance(step, MigrateMachine):
        migration.wait_until_settled(step, context)
    elif isinstance(step, TakeSnapshot):
        snapshot.wait_until_settled(step, context)
