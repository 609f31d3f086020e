"""Plans of acts on snapshots: take, restore, delete, rename, describe.

Each is a pure function of the lab's state, a survey and a request. What files go is `reclaim`'s answer.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from labkit.language import _
from labkit.model.disk import chain, disk_name, image_number, image_path
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans.plan import Plan, Refusal
from labkit.plans.reclaim import reclaim
from labkit.plans.snapshot_excuses import (
    is_same_disk,
    why_changed,
    why_not_delete,
    why_not_named,
    why_not_restore,
    why_not_take,
    why_only_disks,
)
from labkit.plans.steps import (
    CreateOverlay,
    CutPower,
    DefineFromSnapshot,
    DeleteFiles,
    DropSaved,
    ForgetSnapshot,
    FreezeImages,
    MarkCurrent,
    MergeLayer,
    RelabelSnapshot,
    RenameImage,
    RestoreMemory,
    Step,
    TakeSnapshot,
)
from labkit.units import MIB, format_size

DEEP = 20
"""Layers from which on a plan warns."""

MERGE_BOUND = 256 * MIB
"""Bytes up to which a layer that is no point any more is merged away by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSurvey:
    """What had to be measured for a plan about snapshots.

    Attributes:
        free_bytes: free on the file system of the lab's folder.
        quiesce: whether the guest's agent answers, so that it can flush its file systems.
        memory_bytes: sizes of the memory files, by path.
        deepest: layers above which this libvirt cannot start a machine.
        lost: files that snapshots boot from and that are not there.
        changed: frozen images that another tool has written to.
    """

    free_bytes: int
    quiesce: bool = False
    memory_bytes: Mapping[str, int] | None = None
    deepest: int = 190
    lost: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()


def plan_take(state: LabState, survey: SnapshotSurvey, machine: str, name: str, description: str) -> Plan:
    """Plan to freeze a machine's disks, and its memory where it runs, as a point to come back to."""
    facts, tree = state.machines[machine], _tree(state, machine)
    refusal = why_not_take(state, facts, tree, name, free_bytes=survey.free_bytes, deepest=survey.deepest)
    if refusal:
        return _plan("take", state, machine, name, refusal=refusal)
    overlays = _overlays(state, facts.spec.disks)
    step = _taking(state, survey, facts, name, description, overlays)
    steps = [*_creations(facts.spec.disks, overlays), step, _freezing(state, facts.spec.disks)]
    return _plan("take", state, machine, name, steps=steps, notes=_notes_of_take(state, facts, step))


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
    """Plan to bring a machine back to a snapshot; the current state goes, unless it is saved first.

    Args:
        save_current: name of a snapshot to take first, or None. run: whether a guest whose memory was kept
            runs again (else it is left saved). memory: False: come back to the disks only, off.
    """
    facts, tree = state.machines[machine], _tree(state, machine)
    refusal = why_not_restore(state, facts, tree, name, save_current=save_current, memory=memory, lost=survey.lost)
    if refusal is None:
        refusal = why_changed(state, tree[name].disks, survey.changed)
    if refusal is None and save_current is not None:
        refusal = why_not_take(state, facts, tree, save_current, free_bytes=survey.free_bytes, deepest=survey.deepest)
    if refusal:
        return _plan("restore", state, machine, name, refusal=refusal)

    snapshot = tree[name]
    creates: list[Step] = []
    switches: list[Step] = []
    clean_ups: list[Step] = []
    taken = {disk_name(disk.path): 0 for disk in snapshot.disks}
    dropped = [disk.path for disk in facts.spec.disks]
    if save_current is not None:
        current = _overlays(state, facts.spec.disks)
        step = _taking(state, survey, facts, save_current, "", current)
        creates += _creations(facts.spec.disks, current)
        switches.append(step)
        clean_ups.append(_freezing(state, facts.spec.disks))
        dropped = [disk.path for disk in current]
        taken |= {disk_name(disk.path): 1 for disk in current}
    moved, notes = _move_aside(state, snapshot)
    creates += moved
    overlays = _overlays(state, snapshot.disks, taken)
    creates += _creations(snapshot.disks, overlays)
    switches += _power_off(facts) + _switch_to(facts, snapshot, overlays, run=run, memory=memory)
    clean_ups += _removal(state, facts, snapshot, dropped, creates)
    return _plan(
        "restore",
        state,
        machine,
        name,
        steps=[*creates, *switches, *clean_ups],
        notes=[*_changes_of_disks(state, facts, snapshot), *notes, *_loss(state, facts, save_current)],
        disks=[disk.name for disk in snapshot.disks if (free := state.disks.get(disk.name)) and not free.machine],
    )


def plan_delete(
    state: LabState, survey: SnapshotSurvey, machine: str, name: str, *, branch: bool = False, merge: str = "auto"
) -> Plan:
    """Plan to delete a snapshot (or it and all after it); the content of every other state stays as it is.

    Args:
        merge: "auto": layers that are no point any more are merged up when that is cheap; "never".
    """
    facts, tree = state.machines[machine], _tree(state, machine)
    refusal = why_not_delete(facts, tree, name)
    if refusal:
        return _plan("delete", state, machine, name, refusal=refusal)
    names = tree.branch(name) if branch else (name,)
    gone = [tree[each] for each in names]
    forgets = [
        ForgetSnapshot(machine_id=facts.id, domain=facts.spec.domain_name, snapshot=each) for each in reversed(names)
    ]
    kept = {disk.path for node in tree.nodes.values() if node.name not in names for disk in node.disks}
    freed = {disk.path for node in gone for disk in node.disks} - kept
    roots = state.roots - freed | {disk.path for disk in facts.spec.disks}
    merges, notes = _merges(state, facts, roots) if merge == "auto" else ([], [])
    dead = reclaim(state.images, roots).dead
    memories = [node.memory for node in gone if node.memory]
    clean_ups = [_deletion(state, survey, dead, memories)] if dead or memories else []
    return _plan("delete", state, machine, name, steps=[*forgets, *clean_ups, *merges], notes=notes)


def plan_relabel(
    state: LabState, machine: str, name: str, *, new: str | None = None, description: str | None = None
) -> Plan:
    """Plan another name or description for a snapshot."""
    facts, tree = state.machines[machine], _tree(state, machine)
    act = "rename" if new is not None else "describe"
    refusal = why_not_delete(facts, tree, name) or (why_not_named(tree, new) if new not in (None, name) else None)
    if refusal or (new in (None, name) and description in (None, tree[name].description)):
        return _plan(act, state, machine, name, refusal=refusal)
    step = RelabelSnapshot(
        machine_id=facts.id, domain=facts.spec.domain_name, old=name, new=new or name, description=description
    )
    return _plan(act, state, machine, name, steps=[step])


def _tree(state: LabState, machine: str) -> SnapshotTree:
    return state.snapshots.get(machine, SnapshotTree())


def _plan(
    act: str,
    state: LabState,
    machine: str,
    name: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
    disks: Iterable[str] = (),
) -> Plan:
    locked = () if refusal else tuple(disks)
    return Plan(
        act=act,
        subject=f"{machine}@{name}",
        home=state.home,
        names=(machine,),
        disks=locked,
        basis=state.fingerprint((machine,), locked),
        steps=() if refusal else tuple(steps),
        refusal=refusal,
        notes=() if refusal else tuple(notes),
    )


# --- taking -------------------------------------------------------------------------------------


def _overlays(
    state: LabState, disks: Iterable[DiskSpec], already: Mapping[str, int] | None = None
) -> tuple[DiskSpec, ...]:
    """The new active images of disks, numbered beyond all there are (and those planned already)."""
    folder = posixpath.join(state.home, "disks")
    files = (*state.images, *state.strays)
    return tuple(
        replace(
            disk,
            path=image_path(
                folder,
                disk.name,
                1
                + (already or {}).get(disk.name, 0)
                + max((image_number(path) for path in files if disk_name(path) == disk.name), default=-1),
                Format.QCOW2,
            ),
            format=Format.QCOW2,
        )
        for disk in disks
    )


def _creations(frozen: Iterable[DiskSpec], overlays: Iterable[DiskSpec]) -> list[Step]:
    return [
        CreateOverlay(path=overlay.path, backing=below.path, backing_format=below.format)
        for below, overlay in zip(frozen, overlays, strict=True)
    ]


def _taking(
    state: LabState,
    survey: SnapshotSurvey,
    facts: MachineFacts,
    name: str,
    description: str,
    overlays: tuple[DiskSpec, ...],
) -> TakeSnapshot:
    memory = None
    if facts.is_active and why_only_disks(state, facts) is None:
        memory = _next_memory(state, facts.name)
    return TakeSnapshot(
        machine_id=facts.id,
        domain=facts.spec.domain_name,
        name=name,
        description=description,
        memory=memory,
        frozen=facts.spec.disks,
        overlays=overlays,
        live=facts.is_active,
        quiesce=survey.quiesce and facts.state is MachineState.RUNNING,
    )


def _next_memory(state: LabState, machine: str) -> str:
    used = {node.memory for tree in state.snapshots.values() for node in tree.nodes.values()}
    used |= set(state.strays)
    number = 0
    while (path := posixpath.join(state.home, "memory", f"{machine}.{number}.mem")) in used:
        number += 1
    return path


def _freezing(state: LabState, disks: Iterable[DiskSpec]) -> FreezeImages:
    files = (file for disk in disks if disk.path in state.images for file in state.images[disk.path].files)
    return FreezeImages(paths=tuple(files))


def _notes_of_take(state: LabState, facts: MachineFacts, step: TakeSnapshot) -> list[str]:
    notes = []
    if facts.is_active and step.memory is None and (why := why_only_disks(state, facts)):
        notes.append(why)
    layers = max((len(chain(state.images, disk.path)) for disk in facts.spec.disks), default=0) + 1
    if layers >= DEEP:
        notes.append(_("A disk will have {count} layers; each one costs time at every start.").format(count=layers))
    return notes


# --- restoring ----------------------------------------------------------------------------------


def _power_off(facts: MachineFacts) -> list[Step]:
    if facts.is_active:
        return [CutPower(machine_id=facts.id, domain=facts.spec.domain_name)]
    if facts.state is MachineState.SAVED:
        return [DropSaved(machine_id=facts.id, domain=facts.spec.domain_name)]
    return []


def _switch_to(
    facts: MachineFacts, snapshot: SnapshotFacts, overlays: tuple[DiskSpec, ...], *, run: bool, memory: bool
) -> list[Step]:
    domain = facts.spec.domain_name
    steps: list[Step] = [
        DefineFromSnapshot(machine_id=facts.id, domain=domain, snapshot=snapshot.name, disks=overlays),
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
    """A disk detached since the snapshot comes back on a new image; the free one keeps its content, renamed."""
    steps: list[Step] = []
    notes = []
    names = {disk_name(path) for path in state.images}
    for disk in snapshot.disks:
        free = state.disks.get(disk.name)
        if free is None or free.machine is not None:
            continue
        number = 2
        while f"{disk.name}-{number}" in names:
            number += 1
        new = f"{disk.name}-{number}"
        names.add(new)
        folder = posixpath.join(state.home, "disks")
        steps.append(RenameImage(old=free.active.path, new=image_path(folder, new, 0, free.active.format)))
        notes.append(
            _("{disk} comes back as it was; what it became since stays as {new}.").format(disk=disk.name, new=new)
        )
    return steps, notes


def _changes_of_disks(state: LabState, facts: MachineFacts, snapshot: SnapshotFacts) -> list[str]:
    """Disks attached since the snapshot are detached and stay whole."""
    return [
        _("{disk} was attached since: it is detached, and stays whole.").format(disk=disk.name)
        for disk in facts.spec.disks
        if not any(is_same_disk(state.images, disk, kept) for kept in snapshot.disks)
    ]


def _removal(
    state: LabState, facts: MachineFacts, snapshot: SnapshotFacts, dropped: list[str], creates: list[Step]
) -> list[Step]:
    """Delete what only the discarded current state needed; disks attached since stay whole."""
    now = {disk.path: disk for disk in facts.spec.disks}
    images = dict(state.images)
    for step in creates:
        if isinstance(step, CreateOverlay):
            images[step.path] = _overlay_facts(step)
    dead_roots = {
        path
        for path, disk in zip(dropped, now.values(), strict=True)
        if any(is_same_disk(images, disk, kept) for kept in snapshot.disks)
    }
    roots = (state.roots | {step.path for step in creates if isinstance(step, CreateOverlay)}) - dead_roots
    if any(path not in state.images for path in dropped):  # the current state was saved as a snapshot
        roots |= {disk.path for disk in facts.spec.disks}
    dead = [path for path in reclaim(images, roots).dead if path in images]
    files = tuple(file for path in dead for file in images[path].files)
    freed = sum(images[path].allocated for path in dead)
    return [DeleteFiles(paths=files, bytes=freed)] if files else []


def _overlay_facts(step: CreateOverlay) -> ImageFacts:
    return ImageFacts(
        path=step.path,
        format=Format.QCOW2,
        capacity=0,
        length=0,
        allocated=0,
        allocation=Allocation.DYNAMIC,
        files=(step.path,),
        backing=step.backing,
    )


def _loss(state: LabState, facts: MachineFacts, save_current: str | None) -> list[str]:
    if save_current is not None:
        return [_("The current state stays as {name}.").format(name=save_current)]
    lost = sum(state.images[disk.path].allocated for disk in facts.spec.disks if disk.path in state.images)
    tree = _tree(state, facts.name)
    since = _(" since {name}").format(name=tree.current) if tree.current else ""
    return [_("What was written{since} is discarded: {size}.").format(since=since, size=format_size(lost))]


# --- deleting -----------------------------------------------------------------------------------


def _deletion(state: LabState, survey: SnapshotSurvey, dead: Iterable[str], memories: Iterable[str]) -> DeleteFiles:
    sizes = survey.memory_bytes or {}
    paths = [file for path in dead for file in state.images[path].files]
    freed = sum(state.images[path].allocated for path in dead) + sum(sizes.get(path, 0) for path in memories)
    return DeleteFiles(paths=(*paths, *memories), bytes=freed)


def _merges(state: LabState, facts: MachineFacts, roots: frozenset[str]) -> tuple[list[Step], list[str]]:
    """Merge anonymous layers up into their only child, the topmost first; tell which stay."""
    images = dict(state.images)
    steps: list[Step] = []
    notes: list[str] = []
    refused: set[str] = set()
    while True:
        work = reclaim(images, roots)
        pair = next((pair for pair in work.anonymous if pair[0] not in refused and pair[0] not in work.dead), None)
        if pair is None:
            return steps, notes
        layer, child = images[pair[0]], images[pair[1]]
        step = _merge_step(state, facts, images, layer, child)
        if step is None:
            refused.add(layer.path)
            notes.append(
                _("{file} ({size}) stays as a layer without a name.").format(
                    file=posixpath.basename(layer.path), size=format_size(layer.allocated)
                )
            )
            continue
        steps.append(step)
        images[child.path] = replace(child, backing=layer.backing)
        del images[layer.path]


def _merge_step(
    state: LabState, facts: MachineFacts, images: Mapping[str, ImageFacts], layer: ImageFacts, child: ImageFacts
) -> MergeLayer | None:
    below = images.get(layer.backing) if layer.backing else None
    too_large = layer.allocated > MERGE_BOUND
    other = disk_name(layer.path) != disk_name(child.path) or child.format is not Format.QCOW2
    if too_large or other or below is None:
        return None  # a base carries the disk's format, and much of its content: it stays
    active = {disk.path: disk.target for disk in (facts.live or facts.spec).disks} if facts.is_active else {}
    if child.path in _held(state) and child.path not in active:
        return None  # QEMU has it open, or a saved memory names it
    running = child.path in active
    return MergeLayer(
        layer=layer.path,
        child=child.path,
        onto=below.path,
        onto_format=below.format,
        bytes=layer.allocated,
        machine_id=facts.id if running else None,
        domain=facts.spec.domain_name if running else None,
        disk_target=active.get(child.path),
    )


def _held(state: LabState) -> frozenset[str]:
    """The images below running, paused and saved machines: their order must stay as it is."""
    specs = (machine.live or machine.spec for machine in state.machines.values() if machine.state != MachineState.OFF)
    return frozenset(image.path for spec in specs for disk in spec.disks for image in chain(state.images, disk.path))
