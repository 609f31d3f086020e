"""The plan that moves a machine to another hypervisor instance of its lab.

Its snapshots come along. The hypervisor does not let a machine go while it keeps snapshots of it, so its records of
them are written into the plan, dropped, and given to the other instance.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.language import _
from labkit.model.disk import chain
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.model.travel import SnapshotRecord
from labkit.model.ways import ways_off
from labkit.plans.broken import why_broken
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot_excuses import find_unsavable
from labkit.plans.steps import DropRecords, GiveRecords, MigrateMachine, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSurvey:
    """What had to be measured for a migration.

    Attributes:
        to: the other instance's name in the lab, "" for the session's own. to_uri, arrival: as in `MigrateMachine`.
        same_lab: whether the other side works on the same lab's folder. reached: whether it answers.
        taken_names: the names of domains there that do not belong to this lab.
        records: what the hypervisor here keeps of the machine's snapshots, parents first.
        lost: missing files that the machine or its snapshots boot from.
        changed: frozen images that are no longer what they were.
    """

    to: str
    to_uri: str = ""
    arrival: str = ""
    same_lab: bool = True
    reached: bool = True
    taken_names: frozenset[str] = frozenset()
    records: tuple[SnapshotRecord, ...] = ()
    lost: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()


def plan_migrate(state: LabState, survey: MigrationSurvey, machine: str) -> Plan:
    """Plan to migrate a machine: live if its guest is on, else by its definition."""
    facts = state.machines[machine]
    refusal = why_not_migrate(state, survey, facts)
    domain = facts.spec.domain_name
    steps: list[Step] = []
    if survey.records:
        steps.append(DropRecords(machine_id=facts.id, domain=domain, records=survey.records))
    steps.append(
        MigrateMachine(
            machine_id=facts.id,
            domain=domain,
            to=survey.to,
            to_uri=survey.to_uri,
            arrival=survey.arrival,
            live=facts.is_active,
            runs=facts.state is MachineState.RUNNING,
        )
    )
    if survey.records:
        steps.append(
            GiveRecords(machine_id=facts.id, domain=domain, to=survey.to, to_uri=survey.to_uri, records=survey.records)
        )
    return make_plan("migrate", state, machine, names=[machine], steps=steps, refusal=refusal)


def why_not_migrate(state: LabState, survey: MigrationSurvey, facts: MachineFacts) -> Refusal | None:
    """Return why a machine cannot be migrated, or None."""
    return _why_not_there(state, survey, facts) or _why_not_away(state, survey, facts)


def _why_not_there(state: LabState, survey: MigrationSurvey, facts: MachineFacts) -> Refusal | None:
    if not survey.same_lab:
        return Refusal(
            why=_("The other side is not of this lab: it does not see the disks of {machine}.").format(
                machine=facts.name
            ),
            ways_out=(_("Migrate to lab.neighbour()."), _("Or export it there: vm.export(…), import_machine(…).")),
        )
    if survey.to == state.instance:
        return Refusal(
            why=_("{machine} is there already.").format(machine=facts.name),
            ways_out=(_("Migrate to another instance: lab.neighbour()."),),
        )
    if not survey.reached:
        return Refusal(
            why=_("The other side does not answer, or was closed."),
            ways_out=(_("Open it again: lab.neighbour()."),),
        )
    if facts.spec.domain_name in survey.taken_names:
        return Refusal(
            why=_("There is a machine {name!r} on the other side that is not of this lab.").format(
                name=facts.spec.domain_name
            ),
            ways_out=(_("Rename yours first; labkit leaves machines of others alone."),),
        )
    return None


def _why_not_away(state: LabState, survey: MigrationSurvey, facts: MachineFacts) -> Refusal | None:
    if facts.state is MachineState.SAVED:
        return Refusal(
            why=_("{machine} is saved: its saved memory stays with the hypervisor that has it.").format(
                machine=facts.name
            ),
            ways_out=(_("Start it first: running, it moves with its memory."),),
        )
    served = [disk.name for disk in facts.spec.disks if disk.served]
    if served:
        return Refusal(
            why=_("{disk} is served by another program, which cannot be told that its user moves.").format(
                disk=served[0]
            ),
            ways_out=(_("Detach it first."),),
        )
    if facts.is_active and (layer := find_unsavable(state, facts)):
        return Refusal(
            why=_("{machine} cannot move while it runs: its disk {disk} has a layer in {format}.").format(
                machine=facts.name, disk=layer.disk, format=layer.format
            ),
            ways_out=(_("Off, it moves. {way}").format(way=ways_off(facts)), _("Or convert the disk to qcow2.")),
        )
    if clones := _find_clones(state, facts.name):
        return Refusal(
            why=_("Linked clones stand on the images of {machine}.").format(machine=facts.name),
            dependants=clones,
            ways_out=(_("Flatten them first: clone.flatten()."), _("Or delete them.")),
        )
    if missing := next(_find_missing(state, survey, facts.name), None):
        return Refusal(
            why=_("The file {file} that {machine} or one of its snapshots needs is gone.").format(
                file=posixpath.basename(missing), machine=facts.name
            ),
            ways_out=(_("Bring the file back, or delete the snapshot that needs it."),),
        )
    points = (facts.spec, *(point.spec for point in state.every_tree.get(facts.name, {}).values()))
    return why_broken(state, facts.name, [disk for spec in points for disk in spec.disks], survey.changed)


def _find_clones(state: LabState, machine: str) -> tuple[str, ...]:
    """The names of the other machines that stand on images that this machine names."""
    own = _named(state, machine)
    others = (name for name in state.everywhere if name != machine)
    return tuple(name for name in others if own & _needed(state, name))


def _named(state: LabState, machine: str) -> set[str]:
    facts = state.everywhere[machine]
    points = state.every_tree.get(machine, {}).values()
    return {disk.path for spec in (facts.spec, *(point.spec for point in points)) for disk in spec.disks}


def _needed(state: LabState, machine: str) -> set[str]:
    return {layer.path for path in _named(state, machine) for layer in chain(state.images, path)}


def _find_missing(state: LabState, survey: MigrationSurvey, machine: str) -> Iterator[str]:
    for path in sorted(_named(state, machine)):
        layers = chain(state.images, path)
        if not layers:
            yield path
        elif (below := layers[-1].backing) is not None:
            yield below
    for point in state.every_tree.get(machine, {}).values():
        if point.memory and point.memory not in state.memories:
            yield point.memory
    yield from sorted(survey.lost)
