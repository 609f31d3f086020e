"""`Lab`: the façade students use. Everything starts with `Lab.open()`.

Thin: it turns what a person writes into requests, and hands them to plans and the engine.
Knows: the engine, plans, the model. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self

from labkit.acts.creation import clean, create
from labkit.acts.travel import import_machine, open_neighbour
from labkit.arguments import checked
from labkit.disks import Disks
from labkit.engine.executor import Executor, Outcome
from labkit.engine.instances import SESSION, Instances
from labkit.engine.progress import OnProgress, watching
from labkit.engine.relocation import settle_place
from labkit.engine.survey import find_broken
from labkit.engine.workspace import Workspace, open_workspace
from labkit.errors import BadInput, HostTrouble
from labkit.language import _, set_language
from labkit.machines import Machines
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.state import LabState
from labkit.model.usage import MachineUsage
from labkit.orphans import Orphans
from labkit.plans.disk import DiskSurvey
from labkit.plans.plan import Plan
from labkit.printing import tell
from labkit.storage.files import free_bytes
from labkit.units import Shown
from labkit.verification import verify

if TYPE_CHECKING:
    from labkit.hypervisor.connection import Connection
    from labkit.hypervisor.domains import Domains
    from labkit.hypervisor.events import Event
    from labkit.model.host import HostFacts


class Lab:
    """A laboratory: machines, disks and snapshots that belong together.

    Open one with `Lab.open()`; it closes with `close()` or at the end of a `with` block. Guests go on.
    """

    def __init__(
        self,
        workspace: Workspace,
        connection: Connection,
        domains: Domains,
        *,
        instances: Instances | None = None,
        sides: dict[str, Lab] | None = None,
    ) -> None:
        self._workspace = workspace
        self._connection = connection
        self._domains = domains
        self._executor = Executor(workspace, domains, instances)
        self.sides: dict[str, Lab] = {SESSION: self} if sides is None else sides
        self._history: list[Outcome] = []
        self.closed = False
        self.machines = Machines(self)
        self.disks = Disks(self)
        self.orphans = Orphans(self)
        if self.sides[SESSION] is self and (why := self._executor.lease.join(self._executor.find_running)):
            self._executor.told.append(why)
        try:
            self._executor.enter()
        except BaseException:
            if self.sides[SESSION] is self:
                self._executor.lease.leave(self._executor.find_running)
            raise

    @classmethod
    @checked
    def open(
        cls,
        name: str = "default",
        uri: str | None = None,
        home: str | Path | None = None,
        language: str | None = None,
    ) -> Lab:
        """Open a lab, made on first use; acts that were interrupted are brought to an end and told.

        Args:
            name: of the lab. uri: of a local libvirt; None: the session's.
            home: folder that holds labs; None: LABKIT_HOME, else labkit's data folder.
            language: "en" or "es"; None: chosen by itself.

        Raises:
            BadInput: a name, URI or language that cannot be used. HostTrouble: the host lacks something.
        """
        from labkit.hypervisor.connection import DEFAULT_URI, connect
        from labkit.hypervisor.domains import Domains

        if language is not None:
            set_language(language)
        if uri is None and os.geteuid() == 0:
            raise HostTrouble(
                _("As root there is no session hypervisor."),
                _("Start through ./lab up or ./lab run: they give the lab a user of its own."),
            )
        workspace = open_workspace(name, home)
        connection = connect(uri or DEFAULT_URI)
        try:
            told = settle_place(workspace, connection)
            lab = cls(workspace, connection, Domains(connection))
            lab._executor.told[:0] = told
        except BaseException:
            connection.release()
            raise
        for sentence in lab.recovered:
            tell(sentence)  # the student should hear of it where the lab is opened
        return lab

    # --- what is there ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The lab's name."""
        return self._workspace.name

    @property
    def home(self) -> Path:
        """The lab's folder."""
        return self._workspace.home

    @property
    def uri(self) -> str:
        """The libvirt URI of the hypervisor instance it is on."""
        return self._connection.uri

    @property
    def state(self) -> LabState:
        """Everything the lab is now, read afresh, as one value."""
        return self._executor.read()

    @property
    def lineage(self) -> Lineage:
        """All images, snapshots and machines, and who depends on whom, read afresh, as one value."""
        return read_lineage(self.state)

    @property
    def host(self) -> HostFacts:
        """Facts of this computer: CPU, memory, accelerator and why, the floors below us, versions."""
        from labkit.engine.host import read_host

        return read_host(self._connection, self._workspace.images)

    @property
    def host_id(self) -> str:
        """The UUID of the host as the hypervisor gives it; two instances on one computer differ in it."""
        from labkit.hypervisor.capabilities import read_host_id

        return self._connection.read(read_host_id)

    @checked
    def neighbour(self, name: str = "neighbour") -> Lab:
        """Return this lab as a second hypervisor instance sees it: another host beside this one, with the same disks.

        The instance has a daemon and a host identity of its own, and knows only the machines that came to it:
        `vm.migrate(lab.neighbour())`. It is started on first use, and found again later, also by other kernels.
        It ends by itself when nobody uses it and no guest runs there, and for good with `clean()`.

        Args:
            name: of the instance; there can be several.

        Raises:
            HostTrouble: it does not start.
        """
        return open_neighbour(self, name)

    @property
    def recovered(self) -> tuple[str, ...]:
        """What became of acts that had been interrupted, a sentence each."""
        return tuple(self._executor.told)

    @property
    def history(self) -> tuple[Outcome, ...]:
        """What this lab object carried out, oldest first."""
        return tuple(self._history)

    @checked
    def survey_disks(
        self, mounted: Mapping[str, str] | None = None, *, frozen_in: LabState | None = None
    ) -> DiskSurvey:
        """Return what plans about disks need measured: free space, and what a guest has mounted.

        Args:
            frozen_in: the lab whose frozen images are looked at, whether they are what they were; None: they are not.
        """
        changed = frozenset[str]() if frozen_in is None else find_broken(self._workspace, frozen_in)
        return DiskSurvey(free_bytes=free_bytes(self.home), mounted=mounted or {}, changed=changed)

    def usage(self) -> Mapping[str, MachineUsage]:
        """Return what every machine of the hypervisor uses, by machine id: one call, whatever their number."""
        return self._domains.usage()

    @checked
    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back at every event of the hypervisor, on one dispatcher thread; returns the call that ends it.

        An event carries no state: read `state` again.
        """
        return self._connection.events.listen(callback)

    # --- acts -------------------------------------------------------------------------------------

    @checked
    def carry_out(
        self,
        plan: Plan,
        on_progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
        timeout: float | None = None,
    ) -> Outcome:
        """Do what a plan says.

        Args:
            plan: as `.plan(...)` of an act returned it.
            on_progress: called with a `Progress` before each step and as bytes are copied.
            cancel: set it to stop; heeded as long as the progress says so (`can_cancel`): up to the commit point, and
                behind it where clones still wait to be woken or layers to be merged.
            timeout: seconds; likewise.

        Raises:
            Refused: the plan is a refusal. Stale: what it had read has changed. Busy: another act is at work.
            LabError: a step failed; the hint says what became of the act.
        """
        if not isinstance(plan, Plan):
            raise BadInput(
                _("{plan!r} is not a plan.").format(plan=Shown(plan)),
                _("Give what .plan(…) of an act has returned: lab.create.plan(…)."),
            )
        cancel = cancel or threading.Event()
        shown = (
            watching(plan.title, plan.bytes_copied, cancel=cancel) if on_progress is None else nullcontext(on_progress)
        )
        with shown as report:
            outcome = self._executor.carry_out(plan, on_progress=report, cancel=cancel, timeout=timeout)
        self._history.append(outcome)
        return outcome

    create = create
    clean = clean
    import_machine = import_machine
    verify = verify

    # --- its life ---------------------------------------------------------------------------------

    @checked
    def save_running(self, *, timeout: float = 120) -> list[str]:
        """Save every running or paused machine, so that it goes on from that instant; returns their names."""
        active = [facts.name for facts in self.state.machines.values() if facts.is_active]
        for name in active:
            self.machines[name].save(timeout=timeout)
        return active

    def close(self) -> None:
        """Let go of the hypervisor; guests go on, and the lab can be opened again. Twice is as once."""
        if not self.closed:
            self.closed = True
            if self.sides[SESSION] is self:
                self._executor.lease.leave(self._executor.find_running)
            self._executor.instances.release()
            self._connection.release()
            if self.sides[SESSION] is self:
                for side in [*self.sides.values()]:
                    side.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        own = self._executor.instances.own
        return f"Lab {self.name!r} ({own})" if own else f"Lab {self.name!r}"
