"""Plans to bring a machine back to a snapshot; the current state is discarded, unless it is saved first.

Knows: the model, steps, what files are still needed. Must not know: libvirt, files.
"""

from __future__ import annotations

from labkit.language import _
from labkit.model.disk import disk_name
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.plans.broken import notes_of_outside
from labkit.plans.memory_excuses import is_foreign_accelerator, why_not_from_memory, why_renamed
from labkit.plans.naming import free_disk_name, next_image_path
from labkit.plans.plan import Plan
from labkit.plans.reclaim import find_unneeded, own_disks
from labkit.plans.removal import allocated_by, files_of
from labkit.plans.snapshot.common import make_creations, make_overlays, snapshot_plan
from labkit.plans.snapshot.take import make_freezing, make_taking
from labkit.plans.snapshot_excuses import is_same_disk, why_not_restore, why_not_take, why_not_there
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.plans.steps import (
    CreateOverlay,
    CutPower,
    DefineFromSnapshot,
    DeleteFiles,
    DropSaved,
    MarkCurrent,
    RenameImage,
    RestoreMemory,
    Step,
)
from labkit.units import format_size


def plan_restore(
    state: LabState,
    survey: SnapshotSurvey,
    machine: str,
    name: str,
    *,
    save_current: str | None = None,
    run: bool = True,
    memory: bool = True,
) -> Plan:
    """Plan to bring a machine back to a snapshot; the current state is discarded, unless it is saved first.

    Args:
        save_current: name of a snapshot to take first, or None. run: whether a guest whose memory was kept
            runs again (else it is left saved). memory: False: come back to the disks only; the machine is off then.
    """
    facts, tree = state.machines[machine], state.tree_of(machine)
    if missing := why_not_there(facts, tree, name):
        return snapshot_plan("restore", state, machine, name, refusal=missing)
    snapshot = tree[name]
    refusal = why_not_restore(state, survey, facts, snapshot)
    if refusal is None and memory:
        refusal = why_not_from_memory(state, survey, snapshot) or why_renamed(facts, snapshot)
    if refusal is None and save_current is not None:
        refusal = why_not_take(state, survey, facts, tree, save_current)
    if refusal:
        return snapshot_plan("restore", state, machine, name, refusal=refusal)

    creates: list[Step] = []
    switches: list[Step] = []
    clean_ups: list[Step] = []
    taken = {disk_name(disk.path): 0 for disk in snapshot.disks}
    dropped = [disk.path for disk in facts.spec.disks]
    if save_current is not None:
        current = make_overlays(state, facts.spec.disks)
        step = make_taking(state, survey, facts, save_current, "", current)
        creates += make_creations(facts.spec.disks, current)
        switches.append(step)
        clean_ups.append(make_freezing(state, facts.spec.disks))
        dropped = [disk.path for disk in current]
        taken |= {disk_name(disk.path): 1 for disk in current}
    moved, notes = _move_aside(state, snapshot)
    creates += moved
    overlays = make_overlays(state, snapshot.disks, taken)
    creates += make_creations(snapshot.disks, overlays)
    switches += _power_off(facts) + _switch_to(survey, facts, snapshot, overlays, run=run, memory=memory)
    clean_ups += _removal(state, facts, snapshot, dropped, creates)
    return snapshot_plan(
        "restore",
        state,
        machine,
        name,
        steps=[*creates, *switches, *clean_ups],
        notes=[*_changes_of_disks(state, facts, snapshot), *notes, *_loss(state, facts, save_current)],
        disks=[disk.name for disk in snapshot.disks if (free := state.disks.get(disk.name)) and not free.machine],
    )


def _power_off(facts: MachineFacts) -> list[Step]:
    if facts.is_active:
        return [CutPower(machine_id=facts.id, domain=facts.spec.domain_name)]
    if facts.state is MachineState.SAVED:
        return [DropSaved(machine_id=facts.id, domain=facts.spec.domain_name)]
    return []


def _switch_to(
    survey: SnapshotSurvey,
    facts: MachineFacts,
    snapshot: SnapshotFacts,
    overlays: tuple[DiskSpec, ...],
    *,
    run: bool,
    memory: bool,
) -> list[Step]:
    domain = facts.spec.domain_name
    steps: list[Step] = [
        DefineFromSnapshot(
            machine_id=facts.id,
            domain=domain,
            snapshot=snapshot.name,
            disks=overlays,
            accelerator=survey.accelerator if is_foreign_accelerator(survey, snapshot) else None,
        ),
        MarkCurrent(machine_id=facts.id, domain=domain, snapshot=snapshot.name),
    ]
    if memory and snapshot.memory:
        steps.append(
            RestoreMemory(
                machine_id=facts.id,
                domain=domain,
                memory=snapshot.memory,
                disks=overlays,
                paused=snapshot.kind == "paused",
                saved=not run,
            )
        )
    return steps


def _move_aside(state: LabState, snapshot: SnapshotFacts) -> tuple[list[Step], list[str]]:
    """Let disks detached since the snapshot come back on new images; the free ones keep their content, renamed."""
    steps: list[Step] = []
    notes = []
    taken: list[str] = []
    for disk in snapshot.disks:
        free = state.disks.get(disk.name)
        if free is None or free.machine is not None:
            continue
        new = free_disk_name(state, disk.name, taken)
        taken.append(new)
        steps.append(RenameImage(old=free.active.path, new=next_image_path(state, new, free.active.format)))
        notes.append(
            _("{disk} comes back as it was; what it became since stays as {new}.").format(disk=disk.name, new=new)
        )
    return steps, notes


def _changes_of_disks(state: LabState, facts: MachineFacts, snapshot: SnapshotFacts) -> list[str]:
    """The notes on disks attached since the snapshot: they are detached and stay whole."""
    return [
        _("{disk} was attached since: it is detached, and stays whole.").format(disk=disk.name)
        for disk in facts.spec.disks
        if not any(is_same_disk(state.readable, disk, kept) for kept in snapshot.disks)
    ] + notes_of_outside(state, (disk.path for disk in facts.spec.disks))


def _removal(
    state: LabState, facts: MachineFacts, snapshot: SnapshotFacts, dropped: list[str], creates: list[Step]
) -> list[Step]:
    """Delete what only the discarded current state needed; disks attached since stay whole."""
    gone = [
        path
        for path, disk in zip(dropped, facts.spec.disks, strict=True)
        if any(is_same_disk(state.readable, disk, kept) for kept in snapshot.disks)
    ]
    passing = tuple(path for path in gone if path not in state.readable)  # made by this act, to save the state
    needed = {step.backing for step in creates if isinstance(step, CreateOverlay)}
    roots = (state.roots - set(gone)) | needed | state.claimed
    dead = find_unneeded(state, roots, own_disks(facts, state.tree_of(facts.name)), machine=facts.id)
    files = (*passing, *files_of(state, dead))
    return [DeleteFiles(paths=files, bytes=allocated_by(state, dead))] if files else []


def _loss(state: LabState, facts: MachineFacts, save_current: str | None) -> list[str]:
    if save_current is not None:
        return [_("The current state stays as {name}.").format(name=save_current)]
    lost = sum(state.images[disk.path].allocated for disk in facts.spec.disks if disk.path in state.images)
    tree = state.tree_of(facts.name)
    since = _(" since {name}").format(name=tree.current) if tree.current else ""
    return [_("What was written{since} is discarded: {size}.").format(since=since, size=format_size(lost))]
