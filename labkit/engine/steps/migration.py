"""How a machine migrates to another hypervisor instance, and where it is if that was interrupted.

A guest must be on exactly one side. The hypervisors ensure that as long as both live; what is left after one was killed
is judged here. If the guest was handed over its old side is cleared, if not, the new one. A guest that may have run on
the new side never goes on on the old one.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import assert_never

from labkit.engine.context import Context
from labkit.errors import Cancelled, HypervisorError, LabError, NotFound, TimedOut, WrongState
from labkit.hypervisor import migration
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.instances import Instance
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.steps import DropRecords, EndInstance, GiveRecords, MigrateMachine, MigrationStep

_QUIET = 10  # looks at the other side, 0.1 s apart, that must find nothing
_SETTLES_WITHIN = 5.0  # seconds in which a daemon clears up by itself after the other's end


def do(step: MigrationStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case DropRecords():
            migration.drop_records(context.domains.connection, step.machine_id, step.records)
        case MigrateMachine():
            _migrate(step, context)
        case GiveRecords():
            target = context.instances.domains(step.to)
            migration.give_records(target.connection, step.machine_id, step.records)
            target.announce([step.machine_id])
        case EndInstance():
            context.instances.end(step.instance)
        case _:
            assert_never(step)


def is_done(step: MigrationStep, state: LabState) -> bool:
    """Whether a step has been carried out; an instance counts as ended once nobody can start it any more."""
    match step:
        case DropRecords() | GiveRecords():  # neither is ever the commit point, and both may be repeated
            return False
        case MigrateMachine():
            return _is_migrated(step, state)
        case EndInstance():
            return Instance(folder=Path(step.folder)).is_ended
        case _:
            assert_never(step)


def undo(step: DropRecords, context: Context) -> None:
    """Give the hypervisor here the snapshots back that it was made to forget, unless the machine is gone."""
    with contextlib.suppress(NotFound):
        migration.give_records(context.domains.connection, step.machine_id, step.records)


def _migrate(step: MigrateMachine, context: Context) -> None:
    """Migrate the machine; if it has migrated already, clear its old side.

    If the guest had already gone over when the limit was reached, that is a remark and not an error.
    """
    domains, target = context.domains, context.instances.domains(step.to)
    if not step.live:
        migration.move_definition(domains.connection, target.connection, step.machine_id)
        return
    here, there = _look(step, context)
    if _complete(step, context, here, there):
        return
    if there is not None:  # left by an earlier attempt whose daemon was killed
        _clear(target, step)
    try:
        in_time = migration.migrate(
            domains.connection,
            step.machine_id,
            to_uri=step.to_uri,
            arrival=Path(step.arrival),
            limit=context.limit,
            on_bytes=context.on_bytes,
        )
    except (Cancelled, TimedOut):
        wait_until_settled(step, context)
        if not _complete(step, context, *_look(step, context)):
            raise
        in_time = False
    if not in_time:
        context.tell(_say_late(here.name if here else step.domain, context.limit))


def _complete(step: MigrateMachine, context: Context, here: MachineFacts | None, there: MachineFacts | None) -> bool:
    """Clear the old side of a guest that has gone over; returns whether it has."""
    if there is None or (here is not None and not was_handed_over(here, there)):
        return False
    migration.close_arrival(Path(step.arrival))
    if here is not None:
        migration.remove(context.domains.connection, step.machine_id)
        migration.keep(context.instances.domains(step.to).connection, step.machine_id)
    return True


def _say_late(machine: str, limit: Limit) -> str:
    if limit.cancelled:
        sentence = _("{machine} was on the other side before it could be stopped: it goes on there.")
    else:
        sentence = _("The time was up, but {machine} was on the other side already: it goes on there.")
    return sentence.format(machine=machine)


def _is_migrated(step: MigrateMachine, state: LabState) -> bool:
    """Whether the machine is on the other side now."""
    here = state.find_machine(step.machine_id)
    found = (facts for name, facts in state.elsewhere.items() if state.places[name] == step.to)
    there = next((facts for facts in found if facts.id == step.machine_id), None)
    if there is None:
        return False
    return here is None or (not step.live) or was_handed_over(here, there)


def was_handed_over(here: MachineFacts, there: MachineFacts) -> bool:
    """Return whether a guest known on both sides has gone over, that is, may have run there.

    It is defined there before its CPUs start. If they run here, libvirt has brought it back; if they are stopped there,
    it has not begun. Otherwise it began there and has ended since: then it is off, there.
    """
    if here.state is MachineState.RUNNING:
        return False
    return there.state is not MachineState.PAUSED


def take_back(step: MigrateMachine, context: Context) -> None:
    """Let the machine stay: remove what is on the other side, let the guest here go on."""
    with contextlib.suppress(LabError):  # the other side may be gone for good
        _clear(context.instances.domains(step.to), step)
    domains = context.domains
    with contextlib.suppress(NotFound, WrongState):  # it has just ended
        state = domains.state(step.machine_id)[0]
        if step.runs and state is MachineState.RUNNING:
            migration.keep_images(domains.connection, step.machine_id)
        elif step.runs and state is MachineState.PAUSED:
            domains.resume(step.machine_id, subject=step.domain)


def wait_until_settled(step: MigrateMachine, context: Context) -> None:
    """Wait while a guest that ran is stopped on both sides: a daemon may be about to let it go on.

    A guest that was paused before stays stopped on both sides, and then either side is right.
    """
    limit = Limit(_SETTLES_WITHIN if step.live and step.runs else 0)
    while not limit.reached:
        here, there = _look(step, context)
        if here is None or there is None or {here.state, there.state} != {MachineState.PAUSED}:
            return
        time.sleep(0.05)


def _clear(there: Domains, step: MigrateMachine) -> None:
    """Remove the copy on the other side, also one that its daemon is just making for a dead daemon."""
    migration.close_arrival(Path(step.arrival))
    limit, quiet = Limit(_SETTLES_WITHIN), 0
    while quiet < _QUIET and not limit.reached:
        try:
            quiet = 0 if migration.remove(there.connection, step.machine_id) else quiet + 1
        except (HypervisorError, WrongState):
            quiet = 0  # it ended, or changed, between two calls
        time.sleep(0.1)


def _look(step: MigrateMachine, context: Context) -> tuple[MachineFacts | None, MachineFacts | None]:
    lab_id = context.workspace.id
    here = context.domains.read_one(step.machine_id, lab_id)
    try:
        return here, context.instances.domains(step.to).read_one(step.machine_id, lab_id)
    except LabError:
        return here, None
