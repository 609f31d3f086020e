"""Bringing interrupted acts to an end: exactly before them, or exactly after (docs/recovery.md).

If an act broke off before its commit point its create steps are undone; from there on it only goes forward. The state
of the lab decides, not what was reported.

Knows: the journal, steps. Must not know: how an act is begun, who asks for it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from labkit.engine import seals
from labkit.engine.confinement import find_outside
from labkit.engine.context import Context
from labkit.engine.deleting import is_in_use
from labkit.engine.journal import (
    Entry,
    count,
    drop_drafts,
    find_drafts,
    find_entries,
    read_entry,
    set_aside,
    strike_out,
)
from labkit.engine.locks import MachineLocks, find_busy
from labkit.engine.place import command
from labkit.engine.steps import abandon, do_step, is_done, restore, take_back, undo, wait_until_settled
from labkit.engine.stopped_guests import let_go_on
from labkit.engine.workspace import Workspace
from labkit.errors import Busy, ConnectionLost, HostTrouble, LabError, NotFound
from labkit.hypervisor.block_nodes import close_forgotten
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.jobs import wait_for_job
from labkit.hypervisor.snapshots import DomainSnapshots
from labkit.language import _
from labkit.limits import Limit, unheard
from labkit.model.state import LabState
from labkit.plans.broken import find_frozen
from labkit.plans.plan import Plan
from labkit.plans.steps import (
    CutPower,
    DefineFromSnapshot,
    DefineMachine,
    DropSaved,
    MigrateMachine,
    RestoreMemory,
    Step,
    SwitchOn,
    WakeClones,
    WakeFresh,
)

_DECIDES_WHO_RUNS = CutPower | DropSaved | MigrateMachine | RestoreMemory | SwitchOn | WakeClones | WakeFresh
"""Steps after which a guest is left as it is, even if it is paused."""

JOB_LIMIT = 60.0
"""Seconds to wait for what the daemon is still doing."""


class Note(Protocol):
    """Records the result of an act before it is removed from the journal; returns whether it may be removed."""

    def __call__(self, plan: Plan, entry: Path, *, taken_back: bool = False) -> bool:
        """See `Recorder.note_act`."""


class Recovery:
    """Ends the interrupted acts of one lab.

    Args:
        own: the name of its hypervisor instance. read: returns the present state of the lab.
        context: makes the context that steps are carried out with. at: returns the recovery of another instance.
        note: see `Note`.

    Attributes:
        told: what became of interrupted acts, a sentence each.
    """

    def __init__(
        self,
        workspace: Workspace,
        domains: Domains,
        snapshots: DomainSnapshots,
        *,
        own: str,
        read: Callable[[], LabState],
        context: Callable[[Callable[[int, int], None], Limit, tuple[int, ...]], Context],
        at: Callable[[str], Recovery],
        note: Note,
    ) -> None:
        self.workspace = workspace
        self.domains = domains
        self.snapshots = snapshots
        self.told: list[str] = []
        self._own = own
        self._read = read
        self._make_context = context
        self._at = at
        self._note = note

    def is_needed(self) -> bool:
        """Whether there is anything to end or mend; this needs no lock."""
        folder = self.workspace.journal
        return (
            any(map(self._is_interrupted, find_entries(folder)))
            or bool(find_drafts(folder))
            or seals.are_torn(self.workspace.disks)
        )

    def end_all(self) -> dict[str, str]:
        """End every act that can be ended; returns why the others cannot be, by the locks they need.

        The lab's lock must be held, so that nobody begins an act meanwhile.
        """
        stuck: dict[str, str] = {}
        self.mend_seals()
        drop_drafts(self.workspace.journal)
        for path in find_entries(self.workspace.journal):
            stuck |= self._end_one(path)
        return stuck

    def mend_seals(self) -> None:
        """If the seals cannot be read, seal all frozen files as they are now, since nobody knows what they were.

        The lab's lock must be held.
        """
        if not seals.are_torn(self.workspace.disks):
            return
        state = self._read()
        files = [file for path in sorted(find_frozen(state)) for file in state.images[path].files]
        nodes = (node for tree in state.every_tree.values() for node in tree.nodes.values())
        memories = [node.memory for node in nodes if node.memory and os.path.exists(node.memory)]
        seals.seal_anew(self.workspace.disks, [*files, *memories])
        self._tell(_("The seals of the frozen images could not be read; they are sealed as they are now."))

    def _tell(self, sentence: str) -> None:
        if sentence not in self.told[-1:]:
            self.told.append(sentence)

    def _is_interrupted(self, path: Path) -> bool:
        try:
            entry = read_entry(path)
        except HostTrouble:
            return True  # unreadable: nobody is at work on it
        return entry is not None and not (entry.ours and find_busy(self.workspace.locks, entry.plan.locks))

    def _end_one(self, path: Path) -> dict[str, str]:
        """End one act in the journal, if nobody is at work on it; returns why it cannot be ended, by its locks."""
        try:
            entry = read_entry(path)
        except HostTrouble as trouble:
            if not isinstance(trouble.__cause__, OSError):  # a file that cannot be read just now is not damaged
                set_aside(path)
            self._tell(trouble.message)
            return {}
        if entry is not None and (sentence := self._why_not_ours(entry)):
            if sentence not in self.told:
                self._tell(sentence)
            return dict.fromkeys(entry.plan.locks, sentence)
        try:
            locks = MachineLocks(self.workspace.locks, entry.plan.locks if entry else ())
        except Busy:
            return {}
        with locks:
            entry = read_entry(path)  # it may have gone on, or ended, before we got the locks
            if entry is None:
                return {}
            try:
                self._tell(self.settle(entry, inherit=tuple(locks.descriptors), has_lab_lock=True))
                if os.path.lexists(path):  # done, but the record could not be written: it will be ended once more
                    sentence = _("{act} is done, but could not be written into the lab's record.")
                    return dict.fromkeys(entry.plan.locks, sentence.format(act=entry.plan.title))
            except (LabError, OSError) as trouble:
                sentence = _("{act} was interrupted and cannot be ended yet: {why}").format(
                    act=entry.plan.title, why=trouble.message if isinstance(trouble, LabError) else trouble
                )
                self._tell(sentence)
                return dict.fromkeys(entry.plan.locks, sentence)
        return {}

    def _why_not_ours(self, entry: Entry) -> str | None:
        """Why nothing of an act is carried out: it is not ours, or leads out of the lab. None if it may be ended."""
        plan = entry.plan
        if not entry.ours:
            sentence = _(
                "{act} stands in the journal, but this computer did not write it for this folder: nothing of it is "
                "done. How it would end says: {command} --journal"
            )
            return sentence.format(act=plan.title, command=command("restore", self.workspace.home))
        if path := find_outside(plan, self.workspace):
            sentence = _("{act} was interrupted and is not ended: {path} does not lie in the lab's folder.")
            return sentence.format(act=plan.title, path=path)
        return None

    def settle(self, entry: Entry, *, inherit: tuple[int, ...] = (), has_lab_lock: bool = False) -> str:
        """End an act on one side of its commit point and remove it from the journal; returns what became of it.

        Its locks must be held.

        Args:
            inherit: the descriptors of its locks. has_lab_lock: whether the lab's lock is held, too.
        """
        plan = entry.plan
        if plan.instance != self._own:
            return self._at(plan.instance).settle(entry, inherit=inherit, has_lab_lock=has_lab_lock)
        title = plan.title
        commit = plan.commit_point
        troubles: list[str] = []
        context = replace(
            self._make_context(unheard, Limit(), inherit),
            tell=troubles.append,
            entry=entry.path,
            has_lab_lock=has_lab_lock,
            whole_lab=plan.whole_lab,
        )
        for step in plan.steps[:commit]:
            abandon(step, context)
        self._let_settle(ids_of(plan, self._read()))
        if commit is not None:
            wait_until_settled(plan.steps[commit], context)
        state = self._read()
        if commit is None or not is_committed(entry, state):
            if commit is not None:
                take_back(plan.steps[commit], state, context)
            self._undo(plan, commit, context)
            self._let_go_on(plan, context)
            self._note(plan, entry.path, taken_back=True)
            strike_out(entry.path)
            sentence = _("{act} was interrupted and taken back: all is as before.").format(act=title)
            return " ".join((sentence, *troubles))
        for at, step in enumerate(plan.steps[commit:], commit):
            _do_again(step, context, reported=at < entry.done)
            count(entry.path.parent)
        if not any(isinstance(step, _DECIDES_WHO_RUNS) for step in plan.steps):
            self._let_go_on(plan, context)
        if self._note(plan, entry.path):
            strike_out(entry.path)
        return " ".join((_("{act} was interrupted and has been completed.").format(act=title), *troubles))

    def _undo(self, plan: Plan, commit: int | None, context: Context) -> None:
        """Take the create steps back, except for files that are in use, since the journal may be from a backup."""
        needed = self._read().needed
        for step in reversed(plan.steps[:commit]):
            created = replace(plan, steps=(step,)).files.created
            used = [path for path in created if path in needed or is_in_use(path)]
            for path in used:
                context.tell(_("{file} stays: it is in use.").format(file=Path(path).name))
            if not used:
                undo(step, context)
            count(self.workspace.journal)

    def _let_go_on(self, plan: Plan, context: Context) -> None:
        machines = self._read().machines
        theirs = (machines[name] for name in plan.names if name in machines)
        for sentence in let_go_on(theirs, plan.running, self.domains):
            context.tell(sentence)

    def _let_settle(self, machine_ids: Iterable[str]) -> None:
        """Wait for a daemon that completes what a killed client began; close images that a killed daemon left open."""
        for machine_id in machine_ids:
            with contextlib.suppress(NotFound):
                wait_for_job(self.domains.connection, machine_id, Limit(JOB_LIMIT))
            with contextlib.suppress(LabError):  # it has just ended, or does not answer: files that it holds stay
                close_forgotten(self.domains.connection, machine_id)


def is_committed(entry: Entry, state: LabState) -> bool:
    """Return whether an act that broke off is to be completed; the state decides."""
    plan, commit = entry.plan, entry.plan.commit_point
    if commit is None:
        return False
    return plan.only_cleans_up or entry.done > commit or (entry.done == commit and is_done(plan.steps[commit], state))


def may_run(plan: Plan) -> list[tuple[str, str]]:
    """Return the machines, by id and name, that a plan makes run, apart from those that run already."""
    found = []
    for step in plan.steps:
        if isinstance(step, WakeClones):
            found += [(spec.id, spec.name) for spec in step.specs]
        elif isinstance(step, SwitchOn | WakeFresh):
            found.append((step.spec.id, step.spec.name))
        elif isinstance(step, RestoreMemory | MigrateMachine):
            found.append((step.machine_id, plan.subject))
    return found


def ids_of(plan: Plan, state: LabState) -> list[str]:
    """Return the ids of the machines that a plan is about, including those it makes."""
    known = [state.machines[name].id for name in plan.names if name in state.machines]
    made = [step.spec.id for step in plan.steps if isinstance(step, DefineMachine)]
    return [*known, *(machine_id for machine_id in made if machine_id not in known)]


def _do_again(step: Step, context: Context, *, reported: bool) -> None:
    """Carry out a step after the commit point once more.

    A guest that runs again already is left alone, since what it has done must not be undone.
    """
    if reported and isinstance(step, CutPower | DropSaved | RestoreMemory | SwitchOn | WakeClones | WakeFresh):
        return
    if isinstance(step, DefineFromSnapshot):
        restore.cut_power_of_others(step, context)
    try:
        do_step(step, context)
    except ConnectionLost:
        raise
    except LabError as error:
        if not isinstance(step, RestoreMemory):
            raise
        restore.leave_off(step, context)
        context.tell(
            _("The guest could not go on from its memory; it is off, with its disks as they were then: {why}").format(
                why=error.message
            )
        )
