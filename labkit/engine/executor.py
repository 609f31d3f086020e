"""Carrying a plan out: check that it still holds, write it into the journal, do it, remove it from the journal.

After an error the state of the lab decides, not what was reported; see `recovery`.

Knows: the order of things. Must not know: how a step is done, who asks for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from labkit.engine.cancelling import step_reporter
from labkit.engine.confinement import check_confined
from labkit.engine.context import Context
from labkit.engine.dead_daemons import put_right
from labkit.engine.instances import SESSION, Instances
from labkit.engine.intact import check_intact
from labkit.engine.journal import Entry, Record, strike_out_all
from labkit.engine.lease import lease_of
from labkit.engine.locks import MachineLocks, every_lock, lab_lock
from labkit.engine.older import drop_older
from labkit.engine.out_of_reach import see_all
from labkit.engine.progress import OnProgress
from labkit.engine.reader import read_state
from labkit.engine.record import Recorder
from labkit.engine.recovery import Recovery, ids_of, may_run
from labkit.engine.returning import Returning
from labkit.engine.together import count_together, do_together
from labkit.engine.workspace import Workspace
from labkit.errors import AlreadyExists, Busy, ConnectionLost, LabError, Refused, Stale
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshots import DomainSnapshots
from labkit.language import _
from labkit.limits import Limit, unheard
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.guard import why_not_now
from labkit.plans.plan import Plan

SETTLES = 200
"""How often the lab is read at most to get a settled state to act on; nobody begins an act while its lock is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What really happened in an act.

    Attributes:
        plan: the plan that was carried out. seconds: how long it took.
        remarks: what did not come out as planned although the act was completed, a sentence each.
        spared: the files that were to be deleted and stay, since somebody needs them.
    """

    plan: Plan
    seconds: float
    remarks: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """What a person would have typed, in the order it was done."""
        return self.plan.commands


class Executor:
    """Carries out the plans of one lab.

    Attributes:
        recovery: ends the lab's interrupted acts.
    """

    def __init__(self, workspace: Workspace, domains: Domains, instances: Instances | None = None) -> None:
        self.workspace = workspace
        self.domains = domains
        self.instances = instances or Instances(workspace, SESSION, domains, domains.connection.uri)
        self.snapshots = DomainSnapshots(domains.connection)
        self.recorder = Recorder(workspace, self.instances)
        self.lease = lease_of(workspace.locks)
        self.recovery = Recovery(
            workspace,
            domains,
            self.snapshots,
            own=self.instances.own,
            read=self.read_settled,
            context=self._context,
            at=lambda instance: self._at(instance).recovery,
            note=self.recorder.note_act,
        )

    @property
    def returning(self) -> Returning:
        """The object that brings back the machines that the hypervisor has forgotten."""
        return Returning(self.workspace, self.domains, self.instances, self.recorder)

    @property
    def told(self) -> list[str]:
        """What became of interrupted acts, a sentence each."""
        return self.recovery.told

    def read(self) -> LabState:
        """Return the lab as it is now, to look at; `unsettled` if others keep changing it."""
        return read_state(self.workspace, self.domains, self.snapshots, self.instances)

    def read_settled(self) -> LabState:
        """Return the lab as it is now, to act on it.

        Raises:
            Busy: other acts change it too quickly for a consistent reading.
        """
        state = read_state(self.workspace, self.domains, self.snapshots, self.instances, looks=SETTLES)
        if state.unsettled:
            raise Busy(_("Other acts change this lab again and again."), _("Wait until they have ended."))
        return state

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
            cancel: set it to stop; heeded as long as the progress says so, see `cancelling`.
            timeout: seconds; likewise.

        Raises:
            Refused: the plan is a refusal. Stale: what it had read has changed. Busy: another act is at work.
            LabError: a step failed; the lab is as it was before, or the message says what was completed.
        """
        if plan.refusal:
            raise Refused(plan.refusal.why, plan.refusal.hint, plan=plan)
        self.lease.require()
        began = time.monotonic()
        ids: list[str] = []
        remarks: list[str] = []
        spared: list[str] = []
        with contextlib.ExitStack() as planning, contextlib.ExitStack() as working:
            planning.enter_context(lab_lock(self.workspace.locks))
            self._check_folder(plan)
            self.told.extend(put_right(self.domains.connection, self.workspace.id))
            stuck = self.recovery.end_all()
            if not plan.whole_lab and (held := [stuck[name] for name in plan.locks if name in stuck]):
                raise Busy(held[0], _("Remove the cause; then do this again."))
            locks = working.enter_context(MachineLocks(self.workspace.locks, self._locks_of(plan)))
            if plan.steps:
                state = self._check_fresh(plan)
                ids = ids_of(plan, state)
                check_intact(plan.home, plan.steps)
                plan = replace(plan, instance=self.instances.own, running=_running(state, plan.names))
                check_confined(plan, self.workspace)
                self.lease.guests.expect(may_run(plan))
                record = Record(self.workspace.journal, plan)
                if not plan.whole_lab:
                    planning.close()
                limit = Limit(timeout, cancel=cancel, what=plan.title)
                context = replace(
                    self._context(unheard, limit, tuple(locks.descriptors)),
                    tell=remarks.append,
                    spare=spared.append,
                    entry=record.path,
                    has_lab_lock=plan.whole_lab,
                    whole_lab=plan.whole_lab,
                )
                self._run(plan, record, on_progress or unheard, context)
            if plan.whole_lab:
                strike_out_all(self.workspace.journal)  # acts that could not be ended are gone with the lab
                drop_older(self.workspace)
        with contextlib.suppress(LabError):  # the act is done; the list is updated again soon
            self.lease.guests.update(self.find_running)
        self.domains.announce(ids)
        return Outcome(plan=plan, seconds=time.monotonic() - began, remarks=tuple(remarks), spared=tuple(spared))

    def recover(self) -> None:
        """End every interrupted act exactly before or exactly after, and add a sentence for each to `told`.

        This does not wait for acts that are under way.
        """
        if not self.lease.is_available():
            return
        self.told.extend(self.recorder.notice_exchanged_folder())
        self.told.extend(put_right(self.domains.connection, self.workspace.id))
        if self.recovery.is_needed():
            with lab_lock(self.workspace.locks):
                self.recovery.end_all()
                self.recovery.mend_seals()

    def enter(self) -> None:
        """Recover when the lab is opened: first bring back forgotten machines, then end interrupted acts.

        An interrupted act is ended on the machines that it was about, so these must exist first. A lab that is another
        computer's is only read.
        """
        if not self.lease.is_available():
            return
        if self.instances.own == SESSION:
            self.told.extend(self.returning.bring_back_what_is_missing())
        self.recover()
        if self.instances.own == SESSION:
            self.recorder.note_quietly()

    def bring_back(self) -> list[str]:
        """Define again, while the lab is open, the machines that the hypervisor was made to forget.

        Returns:
            A sentence for each: what became of it.

        Raises:
            Busy: others hold the lab's lock. WrongState: the lab is another computer's.
        """
        self.lease.require()
        told = self.returning.bring_back_what_is_missing()
        self.recorder.note_quietly()
        return [*told, *self.returning.find_elsewhere()]

    def find_running(self) -> dict[str, str]:
        """Return the names of the machines that run on this computer, by id, on all instances of the lab."""
        found = self.domains.read_all(self.workspace.id, str(self.workspace.home))[0]
        here = see_all(found, self.domains, {}).values()
        there = () if self.instances.is_alone else self.instances.read_elsewhere().machines.values()
        return {facts.id: facts.name for facts in (*here, *there) if facts.is_active and not facts.host}

    def _locks_of(self, plan: Plan) -> Iterable[str]:
        return (*plan.locks, *every_lock(self.workspace.locks)) if plan.whole_lab else plan.locks

    def _check_folder(self, plan: Plan) -> None:
        """Raise an error if the lab's folder was exchanged for one of another time since it was last looked at."""
        if told := self.recorder.notice_exchanged_folder():
            self.told.extend(told)
            if not plan.whole_lab:
                raise Stale(told[0], _("Make the plan again and look at it."), plan=plan)

    def _check_fresh(self, plan: Plan) -> LabState:
        """Return the present state of the lab, after checking that the plan still holds."""
        state = self.read_settled()
        self.recorder.note_if_changed(state)
        if state.fingerprint(plan.names, plan.disks) != plan.basis:
            raise Stale(
                _("{subject} has changed since this plan was made.").format(subject=plan.subject),
                _("Make the plan again and look at it."),
                plan=plan,
            )
        if refusal := why_not_now(state, plan):
            raise Refused(refusal.why, refusal.hint, plan=plan)
        # Whatever is found at these paths later was made by this act, so it may be removed when the act is taken back.
        if there := [path for path in plan.files.made if os.path.lexists(path)]:
            raise AlreadyExists(
                _("There is already a file {name}.").format(name=os.path.basename(there[0])),
                _("Choose another name, or delete it first."),
            )
        return state

    def _run(self, plan: Plan, record: Record, on_progress: OnProgress, context: Context) -> None:
        commit = plan.commit_point
        done = 0
        try:
            while done < len(plan.steps):
                together = count_together(plan.steps[done:])
                if commit is None or done <= commit:
                    context.limit.check()
                    if not plan.only_cleans_up:  # such a plan can only be completed, and checks what it merges itself
                        check_intact(plan.home, plan.steps[done : None if done == commit else done + together])
                indices = range(done, done + together)
                theirs = [replace(context, on_bytes=step_reporter(on_progress, plan, index)) for index in indices]
                for each in theirs:
                    each.on_bytes(0, 0)
                do_together(plan.steps[done : done + together], theirs)
                for index in indices:
                    record.step_done(index)
                    done = index + 1
        except BaseException as error:
            self._after_error(Entry(path=record.path, plan=plan, done=done), error, context)
            raise
        if self.recorder.note_act(plan, record.path):
            record.close()

    def _after_error(self, entry: Entry, error: BaseException, context: Context) -> None:
        """Bring the lab to one side of the commit point, and add to the error's hint what became of the act."""
        if isinstance(error, ConnectionLost):  # what the daemon left would hold up its successor
            self.told.extend(put_right(self.domains.connection, self.workspace.id))
        try:
            sentence = self.recovery.settle(entry, inherit=context.inherit, has_lab_lock=context.has_lab_lock)
        except LabError as trouble:
            sentence = _("It stands half done and is ended at the next Lab.open(): {why}").format(why=trouble.message)
        if isinstance(error, LabError):
            error.hint = " ".join(filter(None, (sentence, error.hint)))

    def _context(self, on_bytes: Callable[[int, int], None], limit: Limit, inherit: tuple[int, ...] = ()) -> Context:
        return Context(
            workspace=self.workspace,
            read=self.read_settled,
            domains=self.domains,
            snapshots=self.snapshots,
            instances=self.instances,
            on_bytes=on_bytes,
            limit=limit,
            inherit=inherit,
        )

    def _at(self, instance: str) -> Executor:
        """Return the executor for another hypervisor instance of the lab."""
        domains = self.instances.domains(instance)
        return Executor(self.workspace, domains, self.instances.seen_from(instance))


def _running(state: LabState, names: Iterable[str]) -> tuple[str, ...]:
    found = [name for name in names if name in state.machines]
    return tuple(name for name in found if state.machines[name].state is MachineState.RUNNING)
