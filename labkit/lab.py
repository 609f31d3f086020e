"""`Lab`: the façade students use. Everything starts with `Lab.open()`.

Thin: it passes questions on to its session; its acts are in `labkit/acts/`.
Knows: the session, the acts, the model. Must not know: libvirt's calls, files, widgets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from labkit.acts import creation, travel
from labkit.acts.act import act
from labkit.arguments import checked
from labkit.disks import Disks
from labkit.engine.executor import Outcome
from labkit.engine.host import read_host
from labkit.engine.instances import SESSION
from labkit.engine.progress import OnProgress
from labkit.engine.session import Session, open_session
from labkit.engine.survey_disks import survey_disks
from labkit.errors import BadInput
from labkit.language import _, set_language
from labkit.machine import Machine
from labkit.machines import Machines
from labkit.model.event import Event
from labkit.model.host import HostFacts
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.state import LabState
from labkit.model.usage import MachineUsage
from labkit.orphans import Orphans
from labkit.plans.disk import DiskSurvey
from labkit.plans.plan import Plan
from labkit.printing import tell
from labkit.units import Shown, check_name
from labkit.verification import verify


def _after_arrival(lab: Lab, plan: Plan, timeout: float | None) -> Machine:
    lab.carry_out(plan, timeout=timeout)
    return lab.machines[plan.subject]


def _after_clean(lab: Lab, plan: Plan, timeout: float | None) -> None:
    lab.session.prove_clean(lab.carry_out(plan, timeout=timeout))


class Lab:
    """A laboratory: machines, disks and snapshots that belong together.

    Open one with `Lab.open()`; it closes with `close()` or at the end of a `with` block. Guests go on.
    """

    def __init__(self, session: Session, sides: dict[str, Lab] | None = None) -> None:
        self._session = session
        self.sides: dict[str, Lab] = {SESSION: self} if sides is None else sides
        self.machines = Machines(session, lambda machine_id, name: Machine(self, machine_id, name))
        self.disks = Disks(session)
        self.orphans = Orphans(session, self.machines)

    @classmethod
    @checked
    def open(
        cls,
        name: str = "default",
        uri: str | None = None,
        home: str | Path | None = None,
        language: str | None = None,
    ) -> Lab:
        """Open a lab, making it on first use; acts that were interrupted are ended, and a sentence says how.

        Args:
            name: of the lab. uri: of a local libvirt; None: the session's.
            home: folder that holds labs; None: LABKIT_HOME, else labkit's data folder.
            language: "en" or "es"; None: chosen automatically.

        Raises:
            BadInput: a name, URI or language that cannot be used. HostTrouble: the host lacks something.
        """
        if language is not None:
            set_language(language)
        lab = cls(open_session(name, uri, home))
        for sentence in lab.recovered:
            tell(sentence)  # the student should hear of it where the lab is opened
        return lab

    # --- what is there ----------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session it uses, for code that builds on labkit."""
        return self._session

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._session.closed

    @property
    def name(self) -> str:
        """The lab's name."""
        return self._session.workspace.name

    @property
    def home(self) -> Path:
        """The lab's folder."""
        return self._session.workspace.home

    @property
    def uri(self) -> str:
        """The libvirt URI of its hypervisor instance."""
        return self._session.connection.uri

    @property
    def state(self) -> LabState:
        """Everything the lab is now, read afresh, as one value."""
        return self._session.read()

    @property
    def lineage(self) -> Lineage:
        """All images, snapshots and machines, and who depends on whom, read afresh, as one value."""
        return read_lineage(self.state)

    @property
    def host(self) -> HostFacts:
        """Facts of this computer: CPU, memory, accelerator and why, the floors below us, versions."""
        return read_host(self._session.connection, self._session.workspace.images)

    @property
    def host_id(self) -> str:
        """The UUID of the host as the hypervisor gives it; two instances on one computer differ in it."""
        return self._session.host_id

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
        name = check_name(name, what=_("hypervisor instance"))
        session = self._session.neighbour(name)
        known = self.sides.get(name)
        if known is None or known.session is not session:
            known = self.sides[name] = Lab(session, self.sides)
        return known

    @property
    def recovered(self) -> tuple[str, ...]:
        """What became of acts that had been interrupted, a sentence each."""
        return tuple(self._session.executor.told)

    @property
    def history(self) -> tuple[Outcome, ...]:
        """What this lab object carried out, oldest first."""
        return tuple(self._session.history)

    @checked
    def survey_disks(
        self, mounted: Mapping[str, str] | None = None, *, frozen_in: LabState | None = None
    ) -> DiskSurvey:
        """Return the measurements that plans about disks need: free space, and what a guest has mounted.

        Args:
            frozen_in: the state whose frozen images are checked against their seals; None: none are checked.
        """
        return survey_disks(self._session, mounted, frozen_in=frozen_in)

    def usage(self) -> Mapping[str, MachineUsage]:
        """Return what every machine of the hypervisor uses, by machine id: one call, whatever their number."""
        return self._session.usage()

    @checked
    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back at every event of the hypervisor, on one dispatcher thread; returns the call that ends it.

        An event carries no state: read `state` again.
        """
        return self._session.subscribe(callback)

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
            cancel: set it to stop; heeded while the progress says so (`can_cancel`): up to the commit point, and after
                it where clones still wait to be woken or layers to be merged.
            timeout: seconds; heeded for as long as `cancel` is.

        Raises:
            Refused: the plan is a refusal. Stale: what it had read has changed. Busy: another act is at work.
            LabError: a step failed; the hint says what became of the act.
        """
        if not isinstance(plan, Plan):
            raise BadInput(
                _("{plan!r} is not a plan.").format(plan=Shown(plan)),
                _("Give what .plan(…) of an act has returned: lab.create.plan(…)."),
            )
        return self._session.carry_out(plan, on_progress, cancel, timeout)

    create = act(_after_arrival)(creation.create)
    clean = act(_after_clean)(creation.clean)
    import_machine = act(_after_arrival)(travel.import_machine)
    verify = verify

    # --- its life ---------------------------------------------------------------------------------

    @checked
    def save_running(self, *, timeout: float = 120) -> list[str]:
        """Save every running or paused machine; `start` goes on from that instant. Returns their names."""
        active = [facts.name for facts in self.state.machines.values() if facts.is_active]
        for name in active:
            self.machines[name].save(timeout=timeout)
        return active

    def close(self) -> None:
        """Let go of the hypervisor; guests go on, and the lab can be opened again. Closing twice does no harm."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        own = self._session.instances.own
        return f"Lab {self.name!r} ({own})" if own else f"Lab {self.name!r}"
