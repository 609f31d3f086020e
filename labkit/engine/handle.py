"""`Handle`: one machine of a lab as the engine holds it: by its id, looked up at every question.

Knows: domains, the guest's agent and console, the lab's folder. Must not know: plans, the façade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labkit.engine.journal import read_entries
from labkit.engine.lease import lease_of
from labkit.engine.locks import MachineLocks, is_held
from labkit.engine.out_of_reach import see
from labkit.engine.workspace import Workspace
from labkit.errors import Busy, LabError, NotFound, WrongState
from labkit.guest.agent import Channel
from labkit.guest.console import Console
from labkit.hypervisor import channels
from labkit.hypervisor.domains import Domains
from labkit.language import _
from labkit.model.machine import MachineFacts, MachineState, Reason

Excuse = Callable[[MachineFacts], str | None]
"""Says why a machine as it is cannot be switched so, or None: `why_not_start` and its like."""


def agent_channel(domains: Domains, machine_id: str, name: str) -> Channel:
    """Return the way to a machine's agent; `name` stands in the errors."""

    def send(command: Mapping[str, Any], timeout: float) -> str:
        return channels.agent_command(domains, machine_id, command, subject=name, timeout=timeout)

    return Channel(subject=name, send=send)


class Handle:
    """A machine that may be renamed, switched or deleted by others at any instant.

    Args:
        machine_id: the domain's UUID. name: the machine's name in the lab, as last seen.
        recover: ends the lab's interrupted acts, where there are any.
    """

    def __init__(
        self, workspace: Workspace, domains: Domains, machine_id: str, name: str, recover: Callable[[], None]
    ) -> None:
        self.workspace = workspace
        self.domains = domains
        self.id = machine_id
        self.last_name = name
        self.recover = recover
        self.lease = lease_of(workspace.locks)

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
        """Where it is now and why; quicker than all the facts.

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
        """Where it is now."""
        return self.stands[0]

    @property
    def reason(self) -> Reason:
        """Why it is there."""
        return self.stands[1]

    @property
    def is_held(self) -> bool:
        """Whether somebody, here or in another kernel, is switching it just now or at work on it."""
        return is_held(self.workspace.locks, self.last_name)

    @property
    def console(self) -> Console:
        """Its serial console."""
        spec = self.facts.spec
        return Console(
            subject=spec.name,
            log=Path(spec.console_log) if spec.console_log else None,
            send=lambda data: channels.send_to_console(self.domains, self.id, data, subject=spec.name),
        )

    def channel(self, name: str) -> Channel:
        """Return the way to its agent; `name` stands in the errors."""
        return agent_channel(self.domains, self.id, name)

    def check(self, why_not: Excuse, hint: str) -> MachineFacts:
        """Return the facts where there is no excuse.

        Raises:
            WrongState: there is one; `hint` says what to do first.
        """
        facts = self.facts
        if excuse := why_not(facts):
            raise WrongState(excuse, hint)
        return facts

    @contextmanager
    def switching(self, why_not: Excuse, hint: str) -> Iterator[str]:
        """Hold the machine for a switch and give its name: no act may be at work on it, and no excuse stand.

        Raises:
            Busy: an act is at work on it, or was interrupted and cannot be ended. WrongState: there is an excuse.
        """
        self.lease.require()
        self.recover()
        name = self.facts.name
        with self._listed(name), MachineLocks(self.workspace.locks, [name], shared=True):
            if any(name in entry.plan.names for entry in read_entries(self.workspace.journal)):
                raise Busy(
                    _("An act on {name} was interrupted and is not ended yet.").format(name=name),
                    _("Lab.open() ends it, and says what is in the way if it cannot."),
                )
            self.check(why_not, hint)
            yield name

    @contextmanager
    def _listed(self, name: str) -> Iterator[None]:
        """Let other computers know meanwhile that it may run, and afterwards whether it does."""
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
