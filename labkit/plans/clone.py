"""Plans of clones: full ones that stand alone, linked ones that stand on a snapshot of their original.

Each is a pure function of the lab's state, a survey and a request that already holds the new ids.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.language import _
from labkit.model.image import Format
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.clone_copies import full_copies, tree_copies
from labkit.plans.clone_excuses import why_not_clone
from labkit.plans.clone_request import (
    CloneKind,
    CloneRequest,
    CloneSurvey,
    Identity,
    bear,
    define,
    name_disks,
    origin_of,
)
from labkit.plans.disk_excuses import why_no_room
from labkit.plans.instant import notes_of_mapping, with_waking
from labkit.plans.naming import numbered
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot import SnapshotSurvey, plan_take
from labkit.plans.steps import CreateOverlay, FreezeImages, LinkImages, Step, TakeSnapshot

OVERLAY_BYTES = 200 * 1024
"""Bytes that an empty differencing image takes on the host."""

BASE_NAME = "clone-base"
"""The name, followed by a number, of snapshots that are taken for linked clones."""


def plan_clone(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Plan:
    """Plan one or many clones of a machine, as it is now or as one of its snapshots has it."""
    refusal = why_not_clone(state, survey, request)
    if refusal:
        return _plan(state, request, refusal=refusal)
    if request.kind is CloneKind.LINKED:
        return _plan_linked(state, survey, request)
    copies = (tree_copies if request.snapshots else full_copies)(state, survey, request)
    plan = _plan(state, request, steps=copies.steps, notes=[*copies.notes, *_notes(state, survey, request)])
    refusal = why_no_room(survey.free_bytes, plan.bytes_copied)
    return _plan(state, request, refusal=refusal) if refusal else plan


def _plan_linked(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Plan:
    origin = origin_of(state, request)
    new = name_disks(state, origin.disks, [Format.QCOW2] * len(origin.disks), request)
    links: list[Step] = [
        LinkImages(paths=tuple(disks[index].path for disks in new), backing=disk.path, backing_format=disk.format)
        for index, disk in enumerate(origin.disks)
    ]
    definition = define(state, request, bear(state, request, origin, new))
    steps = with_waking(state, survey, request, [*links, definition])
    notes = _notes(state, survey, request)
    if request.snapshot is None:
        take = _base(state, survey, request.machine)
        if take.refusal:
            return _plan(state, request, refusal=take.refusal)
        overlays = [step for step in take.steps if isinstance(step, CreateOverlay)]
        # The clones need only the disks: nobody will go on from the memory.
        taking = [replace(step, memory=None) for step in take.steps if isinstance(step, TakeSnapshot)]
        freezing = [step for step in take.steps if isinstance(step, FreezeImages)]
        steps = [*overlays, *links, *taking, definition, *freezing]
        notes.insert(0, _("A snapshot is taken first, for the clones to stand on: {name}.").format(name=taking[0].name))
    plan = _plan(state, request, steps=steps, notes=notes)
    empty = OVERLAY_BYTES * len(origin.disks) * len(request.clones)
    refusal = why_no_room(survey.free_bytes, plan.bytes_copied + empty)
    return _plan(state, request, refusal=refusal) if refusal else plan


def _base(state: LabState, survey: CloneSurvey, machine: str) -> Plan:
    """The plan to take the snapshot that linked clones stand on if none is named."""
    name = numbered(BASE_NAME, state.tree_of(machine), first=1)
    taking = SnapshotSurvey(
        free_bytes=survey.free_bytes, quiesce=survey.quiesce, deepest=survey.deepest, changed=survey.changed
    )
    return plan_take(state, taking, machine, name, _("What linked clones stand on."))


def _notes(state: LabState, survey: CloneSurvey, request: CloneRequest) -> list[str]:
    """What a person should know beforehand of the clones' content and identity."""
    source = state.machines[request.machine]
    notes = []
    if request.snapshot is None and source.is_active and not (survey.quiesce and source.state is MachineState.RUNNING):
        notes.append(_("Its agent does not answer: the disks are copied as after a power cut."))
    elif request.snapshot is None and source.state is MachineState.SAVED:
        notes.append(_("The saved memory stays with the original: the disks are copied as after a power cut."))
    elif request.instant:
        notes += notes_of_mapping(state, survey, request)
        if not origin_of(state, request).agent:
            notes.append(_("It has no agent to be told who it is: it takes itself for the original until it boots."))
    elif request.snapshot is not None and state.snapshots[source.name][request.snapshot].has_memory:
        notes.append(_("The memory of {name} is not cloned: the clone is off.").format(name=request.snapshot))
    if request.identity is Identity.KEEP:
        notes.append(_("A twin takes itself for the original: never let both into one network."))
    return notes


def _plan(
    state: LabState,
    request: CloneRequest,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    first, *others = request.names
    names = (request.machine, *request.names)
    subject = f"{request.machine} → {first}" + (f" … {others[-1]}" if others else "")
    return make_plan("clone", state, subject, names=names, steps=steps, refusal=refusal, notes=notes)
