"""What happened to the machines of a lab: found by comparing two readings, and from a machine's state after an event.

Two readings show what was made, deleted, cloned or changed, whoever did it. Switching is too quick for that: each event
of the hypervisor carries the machine's state after it.

Knows: the model. Must not know: where readings and events come from, how long they are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from labkit.model.lineage import read_lineage
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState


class HappeningKind(StrEnum):
    """What happened."""

    SEEN = "seen"
    """It was there when the watching began."""
    STARTED = "started"
    CONTINUED = "continued"
    """It was started and went on where it had been saved."""
    RESTORED = "restored"
    PAUSED = "paused"
    STOPPED_BY_DISK = "stopped by a disk"
    RESUMED = "resumed"
    SAVED = "saved"
    SHUT_DOWN = "shut down"
    KILLED = "killed"
    CRASHED = "crashed"
    FAILED = "failed"
    OFF = "off"
    MIGRATED = "migrated"
    ARRIVED = "arrived"
    CREATED = "created"
    CLONED = "cloned"
    """It was made, standing on another machine's snapshot."""
    COPIED = "copied"
    """A linked clone was made of it."""
    DELETED = "deleted"
    RENAMED = "renamed"
    CHANGED = "changed"
    ATTACHED = "attached"
    DETACHED = "detached"
    TAKEN = "taken"
    DROPPED = "dropped"
    """A snapshot of it was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened to a machine.

    Attributes:
        when: seconds since 1970, when labkit heard of it. machine_id, name: the machine's.
        kind: what happened. about: the snapshot, disk or other machine it was about; empty where `kind` says
            everything.
        state: the machine's state from then on, or None if it stayed as it was.
    """

    when: float
    machine_id: str
    kind: HappeningKind
    name: str = ""
    about: str = ""
    state: MachineState | None = None


def kind_of(state: MachineState, reason: Reason, *, before: MachineState | None) -> HappeningKind:
    """Return what brought a machine to a state, from the reason and the state before (None: not known)."""
    by_reason = {
        (MachineState.RUNNING, Reason.BOOTED): HappeningKind.STARTED,
        (MachineState.RUNNING, Reason.RESTORED): HappeningKind.CONTINUED
        if before is MachineState.SAVED
        else HappeningKind.RESTORED,
        (MachineState.RUNNING, Reason.MIGRATED): HappeningKind.ARRIVED,
        (MachineState.PAUSED, Reason.IO_ERROR): HappeningKind.STOPPED_BY_DISK,
        (MachineState.PAUSED, Reason.NO_SPACE): HappeningKind.STOPPED_BY_DISK,
        (MachineState.PAUSED, Reason.PANICKED): HappeningKind.CRASHED,
        (MachineState.PAUSED, Reason.RESTORED): HappeningKind.RESTORED,
        (MachineState.OFF, Reason.SHUT_DOWN): HappeningKind.SHUT_DOWN,
        (MachineState.OFF, Reason.KILLED): HappeningKind.KILLED,
        (MachineState.OFF, Reason.CRASHED): HappeningKind.CRASHED,
        (MachineState.OFF, Reason.PANICKED): HappeningKind.CRASHED,
        (MachineState.OFF, Reason.FAILED): HappeningKind.FAILED,
        (MachineState.OFF, Reason.MIGRATED): HappeningKind.MIGRATED,
        (MachineState.OFF, Reason.RESTORED): HappeningKind.RESTORED,
    }
    if (state, reason) in by_reason:
        return by_reason[state, reason]
    if state is MachineState.RUNNING:
        return HappeningKind.RESUMED if before is MachineState.PAUSED else HappeningKind.STARTED
    return {
        MachineState.PAUSED: HappeningKind.PAUSED,
        MachineState.SAVED: HappeningKind.SAVED,
        MachineState.OFF: HappeningKind.OFF,
    }[state]


def compare(before: LabState, after: LabState, *, when: float) -> tuple[Happening, ...]:
    """Return what was made, deleted and changed between two readings, but not how machines were switched."""
    old = {machine.id: machine for machine in before.machines.values()}
    new = {machine.id: machine for machine in after.machines.values()}
    found: list[Happening] = []
    for machine_id in old.keys() - new.keys():
        name = old[machine_id].name
        kind = HappeningKind.MIGRATED if name in after.elsewhere else HappeningKind.DELETED
        about = after.places.get(name, "") if kind is HappeningKind.MIGRATED else ""
        found.append(Happening(when=when, machine_id=machine_id, name=name, kind=kind, about=about))
    arrived = [new[machine_id] for machine_id in new.keys() - old.keys()]
    if arrived:
        found += _beginnings(before, after, arrived, when)
    for machine_id in old.keys() & new.keys():
        name = new[machine_id].name
        found += (
            Happening(when=when, machine_id=machine_id, name=name, kind=kind, about=about)
            for kind, about in (
                *_changes(old[machine_id], new[machine_id]),
                *_snapshots(before.snapshots.get(old[machine_id].name), after.snapshots.get(name)),
            )
        )
    return tuple(found)


def _beginnings(before: LabState, after: LabState, arrived: list[MachineFacts], when: float) -> Iterator[Happening]:
    lineage = read_lineage(after)
    for machine in arrived:
        name = machine.name
        original = lineage.original(name)
        kind = HappeningKind.CLONED if original else HappeningKind.CREATED
        if name in before.elsewhere:
            kind = HappeningKind.ARRIVED
        yield Happening(
            when=when, machine_id=machine.id, name=name, kind=kind, about=original or "", state=machine.state
        )
        source = after.machines.get((original or "").partition("@")[0])
        if kind is HappeningKind.CLONED and source is not None:
            yield Happening(when=when, machine_id=source.id, name=source.name, kind=HappeningKind.COPIED, about=name)


def _changes(old: MachineFacts, new: MachineFacts) -> Iterator[tuple[HappeningKind, str]]:
    if old.name != new.name:
        yield HappeningKind.RENAMED, old.name
    if (old.spec.memory, old.spec.vcpus) != (new.spec.memory, new.spec.vcpus):
        yield HappeningKind.CHANGED, ""
    before, after = ({disk.target: disk.name for disk in facts.spec.disks} for facts in (old, new))
    if old.name == new.name:  # a renamed machine's own disk is renamed with it
        yield from ((HappeningKind.DETACHED, before[target]) for target in before if target not in after)
        yield from ((HappeningKind.ATTACHED, after[target]) for target in after if target not in before)


def _snapshots(old: SnapshotTree | None, new: SnapshotTree | None) -> Iterator[tuple[HappeningKind, str]]:
    before, after = old or SnapshotTree(), new or SnapshotTree()
    ages = {node.created for node in before.values()}, {node.created for node in after.values()}
    if before.keys() != after.keys() and ages[0] != ages[1]:  # else a snapshot was only renamed
        yield from ((HappeningKind.TAKEN, name) for name in after if name not in before)
        yield from ((HappeningKind.DROPPED, name) for name in before if name not in after)
    elif before.keys() == after.keys() and after.current != before.current and after.current is not None:
        yield HappeningKind.RESTORED, after.current
