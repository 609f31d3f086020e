"""`Session`: one lab on one hypervisor instance, in use; `Lab`, its machines and disks and the acts are built on it.

    session = open_session("default")
    state = session.read()
    session.carry_out(plan)

Knows: the lab's folder, the hypervisor, the executor. Must not know: the façade, who asks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from labkit.engine.asking import settle
from labkit.engine.background import Background
from labkit.engine.executor import Executor, Outcome
from labkit.engine.instances import SESSION, Instances
from labkit.engine.place import Relocated
from labkit.engine.progress import OnProgress, watching
from labkit.engine.relocation import settle_place
from labkit.engine.workspace import Workspace, check_lab, open_workspace
from labkit.errors import HostTrouble
from labkit.hypervisor.capabilities import read_host_id
from labkit.hypervisor.connection import DEFAULT_URI, Connection, connect
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import find_pids
from labkit.language import _
from labkit.model.event import Event
from labkit.model.state import LabState
from labkit.model.usage import MachineUsage
from labkit.plans.plan import Plan
from labkit.storage.files import host_errors


class Session:
    """A lab's folder, its hypervisor and its executor. `enter` it in order to act; reading does not need that.

    Attributes:
        workspace: the lab's folder. connection, domains: the hypervisor instance it is seen from.
        executor: carries plans out. instances: those that its machines can be on.
        sides: the sessions on all instances that were entered, by the instance's name ("" for the session's own).
        history: the outcomes of acts, oldest first. background: what goes on beside them.
    """

    def __init__(
        self,
        workspace: Workspace,
        connection: Connection,
        *,
        instances: Instances | None = None,
        sides: dict[str, Session] | None = None,
    ) -> None:
        self.workspace = workspace
        self.connection = connection
        self.domains = Domains(connection) if instances is None else instances.domains(instances.own)
        self.executor = Executor(workspace, self.domains, instances)
        self.instances = self.executor.instances
        self.sides = {SESSION: self} if sides is None else sides
        self.history: list[Outcome] = []
        self.background = Background()
        self.closed = False

    @property
    def is_home(self) -> bool:
        """Whether it is on the session's own instance; that session holds the lab's lease, and closes the others."""
        return self.sides[SESSION] is self

    @property
    def host_id(self) -> str:
        """The UUID of the host as the hypervisor gives it."""
        return self.connection.read(read_host_id)

    def read(self) -> LabState:
        """Return the lab as it is now."""
        return self.executor.read()

    def usage(self) -> Mapping[str, MachineUsage]:
        """Return what every machine of the hypervisor uses, by machine id: one call, whatever their number."""
        return self.domains.usage()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back at every event of the hypervisor, on one dispatcher thread; returns the call that ends it."""
        return self.connection.events.listen(callback)

    def carry_out(
        self,
        plan: Plan,
        on_progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        timeout: float | None = None,
    ) -> Outcome:
        """Do what a plan says; without `on_progress`, whoever watches (`progress.watch_with`) shows it.

        Raises:
            As `Executor.carry_out`.
        """
        cancel = cancel or threading.Event()
        shown = (
            watching(plan.title, plan.bytes_copied, cancel=cancel) if on_progress is None else nullcontext(on_progress)
        )
        with shown as report:
            outcome = self.executor.carry_out(plan, on_progress=report, cancel=cancel, timeout=timeout)
        self.history.append(outcome)
        return outcome

    def bring_back(self) -> list[str]:
        """Call `Executor.bring_back` on the session's own instance, where the recorded machines were defined."""
        return self.sides[SESSION].executor.bring_back()

    def prove_clean(self, outcome: Outcome) -> None:
        """Check after `clean` that everything is gone except what others need; acts begun since are not considered.

        Raises:
            HostTrouble: something is left; the message names it.
        """
        state = self.read()
        plan = outcome.plan
        left = [name for name in state.machines if name in plan.names]
        left += [Path(path).name for path in plan.files.deleted if path not in outcome.spared and Path(path).exists()]
        if not state.machines and not outcome.spared and not state.claimed:
            left += [f"process {pid}" for pid in find_pids(str(self.workspace.home))]
        if left:
            raise HostTrouble(
                _("The lab is not clean; left are: {left}.").format(left=", ".join(left)),
                _("Do it again; if it stays, type ./lab doctor."),
            )

    # --- its life ---------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin to act in the lab: take its lease and end interrupted acts, with sentences in `told`."""
        executor = self.executor
        if self.is_home and (why := executor.lease.join(executor.find_running)):
            executor.told.append(why)
        try:
            executor.enter()
        except BaseException:
            if self.is_home:
                executor.lease.leave(executor.find_running)
            raise

    def neighbour(self, name: str) -> Session:
        """Return the lab as it is seen from a second hypervisor instance, which is started if need be.

        Raises:
            HostTrouble: it does not start.
        """
        home = self.sides[SESSION]
        known = home.sides.get(name)
        instance = home.instances.instance(name)
        if known is not None and not known.closed and not known.connection.closed:
            if not instance.is_ended:
                return known
            known.close()  # another kernel has cleaned the lab: it is made again
        with host_errors(instance.folder):
            instance.create()
        instance.start()
        connection = connect(instance.uri, start=instance.start)
        try:
            instances = Instances(self.workspace, name, Domains(connection), home.instances.session_uri)
            side = Session(self.workspace, connection, instances=instances, sides=home.sides)
            side.enter()
        except BaseException:
            connection.release()
            raise
        home.sides[name] = side
        return side

    def release(self) -> None:
        """Release the connections to the hypervisor."""
        self.instances.release()
        self.connection.release()

    def close(self) -> None:
        """Leave the lab on all its instances; guests go on. Closing twice does no harm."""
        if self.closed:
            return
        self.closed = True
        self.background.end()
        if self.is_home:
            self.executor.lease.leave(self.executor.find_running)
        self.release()
        if self.is_home:
            for side in [*self.sides.values()]:
                side.close()


def open_session(name: str, uri: str | None = None, home: str | Path | None = None) -> Session:
    """Return a lab's session, entered; the lab is made on first use.

    Raises:
        BadInput: a name or URI that cannot be used. HostTrouble: the host lacks something. WrongState: its folder was
            moved or copied, and nobody at a terminal said which.
    """
    if uri is None and os.geteuid() == 0:
        raise HostTrouble(
            _("As root there is no session hypervisor."),
            _("Start through ./lab up or ./lab run: they give the lab a user of its own."),
        )
    told: list[str] = []
    try:
        workspace = open_workspace(name, home)
    except Relocated as relocated:
        told = settle(relocated, uri)
        workspace = open_workspace(name, home)
    connection = connect(uri or DEFAULT_URI)
    try:
        told += settle_place(workspace, connection)
        session = Session(workspace, connection)
        session.enter()
        session.executor.told[:0] = told
    except BaseException:
        connection.release()
        raise
    return session


def visit_session(lab: str, *, home: str | Path | None = None, uri: str | None = None) -> Session:
    """Return the session of an existing lab, only for reading: nothing is made, recovered or changed.

    Raises:
        NotFound: there is no such lab. HostTrouble: its folder cannot be read, or no hypervisor answers.
    """
    workspace = open_workspace(check_lab(lab, home), home)
    return Session(workspace, connect(uri or DEFAULT_URI))


def read_lab(lab: str, *, home: str | Path | None = None, uri: str | None = None) -> LabState:
    """Return the present state of a lab without opening it.

    Raises:
        NotFound: there is no such lab. HostTrouble: its folder cannot be read, or no hypervisor answers.
    """
    session = visit_session(lab, home=home, uri=uri)
    try:
        return session.read()
    finally:
        session.release()
