"""Acts in a lab's journal that this computer did not write for this folder: they are shown, and ended only on request.

A lab that was carried here in the middle of an act has one; so may a folder from somebody who means harm, and nobody
can see the difference. So labkit shows how the act would end, and ends it when its owner says so, and only if that
touches no file outside the lab, no machine of others, and gives the hypervisor no text of unknown origin.

Knows: the journal, recovery. Must not know: who asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from labkit.engine.confinement import find_outside
from labkit.engine.executor import Executor
from labkit.engine.journal import Entry, read_entries, read_entry, strike_out, write_again
from labkit.engine.locks import MachineLocks, lab_lock
from labkit.engine.recovery import is_committed
from labkit.errors import LabError, NotFound, Refused
from labkit.language import _
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.steps import (
    DefineAdopted,
    DeleteFiles,
    DropRecords,
    EndInstance,
    GiveRecords,
    MigrateMachine,
    Step,
    UnpackBootFile,
    UnpackMemory,
    WriteArchive,
)
from labkit.units import check_name

_NEVER = DefineAdopted | DropRecords | GiveRecords | UnpackMemory | UnpackBootFile | WriteArchive
_BEYOND = MigrateMachine | EndInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAct:
    """An act in the journal that is not ours.

    Attributes:
        entry: the act as in the journal, with its paths relative to the lab.
        completes: whether ending it would complete it; else it would be taken back.
        end: what would be done, as a plan.
        why_not: why it can only be dropped, or None if it can be ended.
    """

    entry: Entry
    completes: bool
    end: Plan
    why_not: str | None

    @property
    def text(self) -> str:
        """What it is and how it would end, in several lines."""
        title = self.entry.plan.title
        if self.why_not:
            return _("{act}: it can only be dropped. {why}").format(act=title, why=self.why_not)
        first = _("{act}: it would be completed:") if self.completes else _("{act}: it would be taken back:")
        return "\n".join([first.format(act=title), *(f"  $ {command}" for command in self.end.commands)])


def find_foreign_acts(executor: Executor) -> list[ForeignAct]:
    """Return the acts in a lab's journal that are not ours, in the journal's order; nothing is changed."""
    state = executor.read()
    entries = (entry for entry in read_entries(executor.workspace.journal) if not entry.ours)
    return [_judge(entry, state, executor) for entry in entries]


def end_foreign_act(act: ForeignAct, executor: Executor) -> list[str]:
    """End an act as it was shown; returns what became of it, a sentence each.

    Raises:
        Refused: it can only be dropped. NotFound: it is gone, or no longer as it was shown.
    """
    if act.why_not:
        raise Refused(act.why_not, _("Drop it: then nothing of it is done."))
    executor.lease.require()
    with lab_lock(executor.workspace.locks):
        with MachineLocks(executor.workspace.locks, act.entry.plan.locks):
            pass  # if another computer is at work on it, that has no lease
        if read_entry(act.entry.path) != act.entry:
            raise NotFound(_("That act is not in the journal any more."), _("Look again at what is there."))
        write_again(act.entry)
        before = len(executor.told)
        executor.recovery.end_all()
    return executor.told[before:]


def drop_foreign_act(act: ForeignAct, executor: Executor) -> None:
    """Remove an act from the journal; nothing of it is done, and files that it had begun stay as they are."""
    executor.lease.require()
    with lab_lock(executor.workspace.locks), MachineLocks(executor.workspace.locks, act.entry.plan.locks):
        strike_out(act.entry.path)


def _judge(entry: Entry, state: LabState, executor: Executor) -> ForeignAct:
    plan = entry.plan
    commit = plan.commit_point
    completes = commit is not None and is_committed(entry, state)
    begun = replace(plan, steps=plan.steps[:commit]).files.created
    steps: tuple[Step, ...] = plan.steps[commit:] if completes else (DeleteFiles(paths=begun, bytes=0),)
    return ForeignAct(
        entry=entry,
        completes=completes,
        end=replace(plan, steps=steps),
        why_not=_why_not_end(plan, executor),
    )


def _why_not_end(plan: Plan, executor: Executor) -> str | None:
    """Why an act of unknown origin cannot be ended here, or None."""
    if path := find_outside(plan, executor.workspace):
        return _("It would write to {path}, outside the lab.").format(path=path)
    try:
        for name in (*plan.names, *plan.disks):
            check_name(name, what=_("machine"))
    except LabError as error:
        return error.message
    if plan.instance not in ("", *executor.instances.names()):
        return _("It was begun on a hypervisor instance that is not here: {name}.").format(name=plan.instance)
    if any(isinstance(step, _NEVER | _BEYOND) for step in plan.steps):
        return _("It would hand the hypervisor a text of unknown origin, or reach beyond the lab.")
    if others := _foreign_ids(plan, executor):
        return _("It is about a machine that is not of this lab: {id}.").format(id=others[0])
    return None


def _foreign_ids(plan: Plan, executor: Executor) -> list[str]:
    """The ids of machines of others that a plan names."""
    state = executor.read()
    ours = {facts.id for facts in state.everywhere.values()}
    known = executor.domains.read_ids()
    return [machine_id for machine_id in _ids(plan.steps) if machine_id in known - ours]


def _ids(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        for name in ("machine_id", "source_id"):
            if machine_id := getattr(step, name, None):
                yield machine_id
        specs = getattr(step, "specs", ()) or filter(None, (getattr(step, "spec", None),))
        yield from (spec.id for spec in specs)
