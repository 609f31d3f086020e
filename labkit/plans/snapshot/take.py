"""Plans to take a snapshot: every disk freezes and goes on in a new image; the memory of a guest that is on is kept.

Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.language import _
from labkit.model.disk import chain
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.naming import free_memory_paths
from labkit.plans.plan import Plan
from labkit.plans.snapshot.common import make_creations, make_overlays, snapshot_plan
from labkit.plans.snapshot_excuses import why_not_take, why_only_disks
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.plans.steps import FreezeImages, TakeSnapshot

DEEP = 20
"""From this many layers on, a plan warns."""


def plan_take(state: LabState, survey: SnapshotSurvey, machine: str, name: str, description: str) -> Plan:
    """Plan to freeze a machine's disks, and its memory if it is on, as a point to come back to."""
    facts, tree = state.machines[machine], state.tree_of(machine)
    refusal = why_not_take(state, survey, facts, tree, name)
    if refusal:
        return snapshot_plan("take", state, machine, name, refusal=refusal)
    overlays = make_overlays(state, facts.spec.disks)
    step = make_taking(state, survey, facts, name, description, overlays)
    steps = [*make_creations(facts.spec.disks, overlays), step, make_freezing(state, facts.spec.disks)]
    return snapshot_plan("take", state, machine, name, steps=steps, notes=_notes_of_take(state, facts, step))


def make_taking(
    state: LabState,
    survey: SnapshotSurvey,
    facts: MachineFacts,
    name: str,
    description: str,
    overlays: tuple[DiskSpec, ...],
) -> TakeSnapshot:
    """Return the step that takes a snapshot, with a file for the memory if that can be kept."""
    memory = None
    if facts.is_active and why_only_disks(state, facts) is None:
        memory = next(iter(free_memory_paths(state, facts.name)))
    return TakeSnapshot(
        machine_id=facts.id,
        domain=facts.spec.domain_name,
        name=name,
        description=description,
        memory=memory,
        frozen=facts.spec.disks,
        overlays=overlays,
        console=facts.spec.console_log if memory else None,
        live=facts.is_active,
        quiesce=survey.quiesce and facts.state is MachineState.RUNNING,
        parent=state.tree_of(facts.name).current,
    )


def make_freezing(state: LabState, disks: Iterable[DiskSpec]) -> FreezeImages:
    """Return the step that makes the images of disks read-only and seals them."""
    files = (file for disk in disks if disk.path in state.images for file in state.images[disk.path].files)
    return FreezeImages(paths=tuple(files))


def _notes_of_take(state: LabState, facts: MachineFacts, step: TakeSnapshot) -> list[str]:
    notes = []
    if facts.is_active and step.memory is None and (why := why_only_disks(state, facts)):
        notes.append(why)
    layers = max((len(chain(state.images, disk.path)) for disk in facts.spec.disks), default=0) + 1
    if layers >= DEEP:
        notes.append(
            _(
                "A disk will have {count} layers; each one costs time at every start. "
                "Deleting snapshots in between merges them."
            ).format(count=layers)
        )
    return notes
