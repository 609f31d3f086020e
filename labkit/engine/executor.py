"""Carrying a plan out: check that it still holds, write it down, do it, strike it out.

Create steps are undone when something fails before the commit point; from there on there is only
forward. After any error what is there decides, not what was reported (docs/recovery.md).

Knows: the order of things. Must not know: how a step is done, who asked for it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.engine.instances import SESSION, Instances
from labkit.engine.journal import Entry, Record, drop_drafts, find_entries, read_entry, set_aside, strike_out
from labkit.engine.locks import MachineLocks, every_lock, find_busy, lab_lock
from labkit.engine.progress import OnProgress, Progress
from labkit.engine.reader import read_state
from labkit.engine.snapshot_work import JOB_LIMIT, leave_off
from labkit.engine.steps import Hands, do, is_done, take_back, undo, wait_until_settled
from labkit.engine.workspace import Workspace
from labkit.errors import AlreadyExists, Busy, ConnectionLost, HostTrouble, LabError, NotFound, Refused, Stale
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshots import Snapshots
from labkit.language import _
from labkit.limits import Limit
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.steps import CreateOverlay, CutPower, DefineMachine, DropSaved, RestoreMemory, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What really happened.

    Attributes:
        plan: what was carried out. seconds: how long it took.
    """

    plan: Plan
    seconds: float

    @property
    def commands(self) -> tuple[str, ...]:
        """What a person would have typed, in the order it was done."""
        return self.plan.commands


class Executor:
    """Carries out the plans of one lab.

    Attributes:
        told: what became of the interrupted acts it found, a sentence each.
    """

    def __init__(self, workspace: Workspace, domains: Domains, instances: Instances | None = None) -> None:
        self.workspace = workspace
        self.domains = domains
        self.instances = instances or Instances(workspace, SESSION, domains, domains.connection.uri)
        self.snapshots = Snapshots(domains.connection)
        self.told: list[str] = []

    def read(self) -> LabState:
        """Return the lab as it is now."""
        return read_state(self.workspace, self.domains, self.snapshots, self.instances)

    def carry_out(
        self,
        plan: Plan,
        *,
        on_progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        timeout: float | None = None,
    ) -> Outcome:
        """Do what a plan says and return what happened.

        Args:
            on_progress: called before each step and as bytes are copied.
            cancel: set it to stop; heeded up to the commit point.
            timeout: seconds; likewise.

        Raises:
            Refused: the plan is a refusal. Stale: what it had read has changed. Busy: another act is at work.
            LabError: a step failed; the lab is as it was before, or the message says what was completed.
        """
        if plan.refusal:
            raise Refused(plan.refusal.why, plan.refusal.hint, plan=plan)
        began = time.monotonic()
        ids: list[str] = []
        with contextlib.ExitStack() as planning, contextlib.ExitStack() as working:
            planning.enter_context(lab_lock(self.workspace.locks))
            self.told += self._end_interrupted()
            locks = working.enter_context(MachineLocks(self.workspace.locks, self._locks_of(plan)))
            if plan.steps:
                ids = _ids_of(plan, self._check_fresh(plan))
                plan = replace(plan, instance=self.instances.own)
                record = Record(self.workspace.journal, plan)
                if not plan.whole_lab:
                    planning.close()
                limit = Limit(timeout, cancel=cancel, what=plan.title)
                self._run(plan, record, on_progress or _ignore, limit, tuple(locks.descriptors))
        self.domains.announce(ids)
        return Outcome(plan=plan, seconds=time.monotonic() - began)

    def recover(self) -> None:
        """End every interrupted act exactly before or exactly after, and say so in `told`, a sentence each.

        Acts that somebody is at work on are not waited for.
        """
        if any(map(self._is_interrupted, find_entries(self.workspace.journal))):
            with lab_lock(self.workspace.locks):
                self.told += self._end_interrupted()

    def _end_interrupted(self) -> list[str]:
        """The lab's lock is held: nobody begins an act meanwhile."""
        drop_drafts(self.workspace.journal)
        sentences = (self._end_one(path) for path in find_entries(self.workspace.journal))
        return [sentence for sentence in sentences if sentence]

    def _is_interrupted(self, path: Path) -> bool:
        try:
            entry = read_entry(path)
        except HostTrouble:
            return True  # whatever it was, nobody is at work on it
        return entry is not None and not find_busy(self.workspace.locks, entry.plan.locks)

    def _end_one(self, path: Path) -> str | None:
        """End one act of the journal; None: it was not interrupted, somebody is at work on it."""
        try:
            entry = read_entry(path)
        except HostTrouble as trouble:
            set_aside(path)
            return trouble.message
        if entry is None:
            return None
        try:
            locks = MachineLocks(self.workspace.locks, entry.plan.locks)
        except Busy:
            return None
        with locks:
            try:
                return self._settle(entry, inherit=tuple(locks.descriptors))
            except LabError as trouble:
                return _("{act} was interrupted and cannot be ended yet: {why}").format(
                    act=entry.plan.title, why=trouble.message
                )

    def _locks_of(self, plan: Plan) -> Iterable[str]:
        return (*plan.locks, *every_lock(self.workspace.locks)) if plan.whole_lab else plan.locks

    def _check_fresh(self, plan: Plan) -> LabState:
        """Return the lab as it is, where the plan still holds."""
        state = self.read()
        if state.fingerprint(plan.names, plan.disks) != plan.basis:
            raise Stale(
                _("{subject} has changed since this plan was made.").format(subject=plan.subject),
                _("Make the plan again and look at it."),
                plan=plan,
            )
        # What is found at these places from now on was made by this act: it may be taken back.
        if there := [path for path in plan.files.created if os.path.lexists(path)]:
            raise AlreadyExists(
                _("There is already a file {name}.").format(name=os.path.basename(there[0])),
                _("Choose another name, or delete it first."),
            )
        return state

    def _run(self, plan: Plan, record: Record, on_progress: OnProgress, limit: Limit, inherit: tuple[int, ...]) -> None:
        commit = plan.commit_point
        done = 0
        try:
            while done < len(plan.steps):
                if commit is None or done <= commit:
                    limit.check()
                together = _count_together(plan.steps[done:])
                indices = range(done, done + together)
                hands = [self._hands(_reporter(on_progress, index, plan), limit, inherit) for index in indices]
                for each in hands:
                    each.on_bytes(0, 0)
                _do_together(plan.steps[done : done + together], hands)
                for index in indices:
                    record.step_done(index)
                    done = index + 1
        except BaseException as error:
            self._after_error(Entry(path=record.path, plan=plan, done=done), error, inherit)
            raise
        record.close()

    def _after_error(self, entry: Entry, error: BaseException, inherit: tuple[int, ...]) -> None:
        """Bring the lab to one side of the commit point; add to the error what became of the act."""
        try:
            sentence = self._settle(entry, inherit=inherit)
        except LabError as trouble:
            sentence = _("It stands half done and is ended at the next Lab.open(): {why}").format(why=trouble.message)
        if isinstance(error, LabError):
            error.hint = " ".join(filter(None, (sentence, error.hint)))

    def _settle(self, entry: Entry, *, inherit: tuple[int, ...] = ()) -> str:
        """End an act on one side of its commit point and strike it out; returns what became of it."""
        if entry.plan.instance != self.instances.own:
            return self._at(entry.plan.instance)._settle(entry, inherit=inherit)
        plan = entry.plan
        title = plan.title
        commit = plan.commit_point
        hands = self._hands(lambda _done, _total: None, Limit(), inherit)
        self._wait_for_jobs(_ids_of(plan, self.read()))
        if commit is not None:
            wait_until_settled(plan.steps[commit], hands)
        state = self.read()
        committed = commit is not None and (
            plan.only_cleans_up or entry.done > commit or (entry.done == commit and is_done(plan.steps[commit], state))
        )
        if commit is None or not committed:
            if commit is not None:
                take_back(plan.steps[commit], state, hands)
            for step in reversed(plan.steps[:commit]):
                undo(step, hands)
            strike_out(entry.path)
            return _("{act} was interrupted and taken back: all is as before.").format(act=title)
        troubles = [
            self._do_again(step, hands, reported=at < entry.done) for at, step in enumerate(plan.steps[commit:], commit)
        ]
        strike_out(entry.path)
        completed = _("{act} was interrupted and has been completed.").format(act=title)
        return " ".join((completed, *filter(None, troubles)))

    @staticmethod
    def _do_again(step: Step, hands: Hands, *, reported: bool) -> str | None:
        """Carry out a step behind the commit point once more; returns what must be told.

        A guest that runs again is left alone: what it did since must not be undone.
        """
        if reported and isinstance(step, CutPower | DropSaved | RestoreMemory):
            return None
        try:
            do(step, hands)
        except ConnectionLost:
            raise
        except LabError as error:
            if not isinstance(step, RestoreMemory):
                raise
            leave_off(step, hands.domains)
            return _(
                "The guest could not go on from its memory; it is off, with its disks as they were then: {why}"
            ).format(why=error.message)
        return None

    def _wait_for_jobs(self, machine_ids: Iterable[str]) -> None:
        """A daemon may still be completing what a killed client began."""
        for machine_id in machine_ids:
            with contextlib.suppress(NotFound):
                self.snapshots.wait_for_job(machine_id, Limit(JOB_LIMIT))

    def _hands(self, on_bytes: Callable[[int, int], None], limit: Limit, inherit: tuple[int, ...] = ()) -> Hands:
        return Hands(
            domains=self.domains,
            snapshots=self.snapshots,
            instances=self.instances,
            on_bytes=on_bytes,
            limit=limit,
            inherit=inherit,
        )

    def _at(self, instance: str) -> Executor:
        """Return the one that carries out acts on another hypervisor instance of the lab."""
        domains = self.instances.domains(instance)
        return Executor(self.workspace, domains, self.instances.seen_from(instance))


def _ids_of(plan: Plan, state: LabState) -> list[str]:
    """Return the ids of the machines a plan is about, those it makes included."""
    known = [state.machines[name].id for name in plan.names if name in state.machines]
    made = [step.spec.id for step in plan.steps if isinstance(step, DefineMachine)]
    return [*known, *(machine_id for machine_id in made if machine_id not in known)]


def _count_together(steps: Sequence[Step]) -> int:
    """Return how many of the next steps can be done at the same time: the overlays of several disks."""
    overlays = itertools.takewhile(lambda step: isinstance(step, CreateOverlay), steps)
    return max(1, sum(1 for _ in overlays))


def _do_together(steps: Sequence[Step], hands: Sequence[Hands]) -> None:
    """Do steps that know nothing of each other; all have ended when this returns or raises."""
    if len(steps) == 1:
        do(steps[0], hands[0])
        return
    with ThreadPoolExecutor(max_workers=min(len(steps), os.cpu_count() or 1)) as pool:
        for future in [pool.submit(do, step, each) for step, each in zip(steps, hands, strict=True)]:
            future.result()


def _ignore(_progress: Progress) -> None:
    """Hear nothing."""


def _reporter(on_progress: OnProgress, index: int, plan: Plan) -> Callable[[int, int], None]:
    label = plan.steps[index].command.splitlines()[0]
    steps = len(plan.steps)
    return lambda done, total: on_progress(Progress(step=index + 1, steps=steps, label=label, done=done, total=total))
