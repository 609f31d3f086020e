"""`Handle`: one machine of a lab as the engine refers to it: by its id, looked up again for every question.

Knows: the session, the guest's agent and console. Must not know: plans, the façade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.engine.agent_channel import agent_channel
from labkit.engine.journal import read_entries
from labkit.engine.lease import Lease
from labkit.engine.locks import MachineLocks, is_locked
from labkit.engine.out_of_reach import see
from labkit.engine.session import Session, visit_session
from labkit.engine.workspace import Workspace
from labkit.errors import Busy, LabError, NotFound, WrongState
from labkit.guest.agent import Channel
from labkit.guest.console import SerialConsole
from labkit.hypervisor import channels
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import read_process
from labkit.language import _
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.state import LabState
from labkit.model.usage import GuestProcess
from labkit.storage.plain import open_plain

__all__ = ["Excuse", "Handle", "SerialConsole", "Way", "reach_machine"]

Excuse = Callable[[MachineFacts], str | None]
"""Says why a machine cannot be switched now, or None: `why_not_start` and the like."""

Way = Callable[[MachineFacts], str]
"""Says what to do about an excuse, in the state the machine is in: `ways.for_start` and the like."""


class Handle:
    """A machine, which others may rename, switch or delete at any instant.

    Args:
        machine_id: the domain's UUID. name: the machine's name in the lab, as last seen.
    """

    def __init__(self, session: Session, machine_id: str, name: str) -> None:
        self.session = session
        self.id = machine_id
        self.last_name = name

    @property
    def workspace(self) -> Workspace:
        """The lab's folder."""
        return self.session.workspace

    @property
    def domains(self) -> Domains:
        """The domains of the hypervisor instance it is on."""
        return self.session.domains

    @property
    def lease(self) -> Lease:
        """The lab's lease: whose the lab is."""
        return self.session.executor.lease

    def follow(self, instance: str) -> None:
        """Look for it on another hypervisor instance of the lab from now on."""
        self.session = self.session.sides[instance]

    def find(self) -> tuple[LabState, str]:
        """Return the lab as it is now, and the machine's name in it.

        Raises:
            NotFound: it was deleted.
        """
        state = self.session.read()
        for facts in state.machines.values():
            if facts.id == self.id:
                return state, facts.name
        raise self.gone()

    @property
    def facts(self) -> MachineFacts:
        """Everything the machine is now.

        Raises:
            NotFound: it was deleted.
        """
        facts = self.domains.read_one(self.id, self.workspace.id)
        if facts is None:
            raise self.gone()
        self.last_name = facts.name
        return see(facts, self.domains, self.lease.guests_elsewhere())

    @property
    def stands(self) -> tuple[MachineState, Reason]:
        """Its state now and why; quicker than reading all the facts.

        Raises:
            NotFound: it was deleted.
        """
        try:
            stands = self.domains.state(self.id)
        except NotFound:
            raise self.gone() from None
        if stands[0] in (MachineState.OFF, MachineState.SAVED):
            facts = self.facts
            return facts.state, facts.reason
        return stands

    @property
    def state(self) -> MachineState:
        """Its state now."""
        return self.stands[0]

    @property
    def reason(self) -> Reason:
        """Why it is in that state."""
        return self.stands[1]

    @property
    def is_locked(self) -> bool:
        """Whether anybody, here or in another kernel, is switching it or at work on it just now."""
        return is_locked(self.workspace.locks, self.last_name)

    @property
    def definition(self) -> str:
        """Its definition as libvirt keeps it."""
        return self.domains.xml(self.id)

    @property
    def process(self) -> GuestProcess | None:
        """Its process on the host, read now; None when it is off or saved."""
        facts = self.facts
        return read_process(self.id, (facts.live or facts.spec).memory) if facts.is_active else None

    @property
    def console(self) -> SerialConsole:
        """Its serial console."""
        spec = self.facts.spec
        return SerialConsole(
            subject=spec.name,
            log=Path(spec.console_log) if spec.console_log else None,
            open_log=open_plain,
            send=lambda data: channels.send_to_console(self.domains, self.id, data, subject=spec.name),
        )

    def channel(self, name: str) -> Channel:
        """Return the channel to its agent; `name` is the machine's in errors."""
        return agent_channel(self.domains, self.id, name)

    def check(self, why_not: Excuse, way: Way) -> MachineFacts:
        """Return the facts if there is no excuse.

        Raises:
            WrongState: there is an excuse; `way` says what to do first.
        """
        facts = self.facts
        if excuse := why_not(facts):
            raise WrongState(excuse, way(facts))
        return facts

    @contextmanager
    def switching(self, why_not: Excuse, way: Way) -> Iterator[str]:
        """Hold the machine for a switch and yield its name; no act may be at work on it, and there must be no excuse.

        Raises:
            Busy: an act is at work on it, or was interrupted and cannot be ended. WrongState: there is an excuse.
        """
        self.lease.require()
        self.session.executor.recover()
        name = self.facts.name
        with self._listed(name), MachineLocks(self.workspace.locks, [name], shared=True):
            if any(name in entry.plan.names for entry in read_entries(self.workspace.journal)):
                raise Busy(
                    _("An act on {name} was interrupted and is not ended yet.").format(name=name),
                    _("Lab.open() ends it, and says what is in the way if it cannot."),
                )
            self.check(why_not, way)
            yield name

    @contextmanager
    def _listed(self, name: str) -> Iterator[None]:
        """List the machine for other computers while it may run, and afterwards if it does."""
        self.lease.guests.expect([(self.id, name)])
        try:
            yield
        finally:
            with suppress(LabError):  # the daemon is away: it stays listed
                self.lease.guests.note(self.id, name, runs=self.facts.is_active)

    def gone(self) -> NotFound:
        """Return the error of a machine that is no longer there."""
        return NotFound(
            _("The machine {name!r} is no longer there.").format(name=self.last_name),
            _("It was deleted. List what there is: lab.machines."),
        )


@contextmanager
def reach_machine(
    lab: str, machine: str, *, home: str | Path | None = None, uri: str | None = None
) -> Iterator[Handle]:
    """Yield the handle of a machine of a lab, without opening the lab.

    Args:
        lab: its name. machine: a name there, or an id. home, uri: as `Lab.open` takes them.

    Raises:
        NotFound: there is no such lab, or it has no such machine. HostTrouble: no hypervisor answers.
    """
    session = visit_session(lab, home=home, uri=uri)
    try:
        machines, _others = session.domains.read_all(session.workspace.id)
        found = next((facts for facts in machines.values() if machine in (facts.name, facts.id)), None)
        if found is None:
            raise NotFound(
                _("There is no machine {name!r} in this lab.").format(name=machine),
                _("There are: {names}.").format(names=", ".join(machines) or _("none yet")),
            )
        yield Handle(session, found.id, found.name)
    finally:
        session.release()
