"""Waiting until a machine is in a state, or its guest is ready.

Knows: the handle of a machine, the excuses. Must not know: the façade, how a verb reaches libvirt.
"""

from __future__ import annotations

import threading

from labkit.engine.handle import Handle
from labkit.errors import ConnectionLost, GuestSilent, TimedOut, WrongState
from labkit.guest import agent
from labkit.guest.console import SerialConsole
from labkit.language import _
from labkit.limits import Limit
from labkit.model import switch_excuses as excuses
from labkit.model import ways
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.words import reason_word, state_word

STARTS_WITHIN = 2.0
"""Seconds to wait for a machine to run, in case somebody else is just starting it."""


def wait_ready(machine: Handle, *, timeout: float, cancel: threading.Event | None = None) -> None:
    """Wait until the guest's agent answers (without an agent: until its console says something).

    Raises:
        WrongState: it is neither running nor being started, or ends meanwhile. Cancelled.
        GuestSilent: `timeout` seconds have passed; it goes on running.
    """
    _comes_to_run(machine, Limit(timeout, cancel=cancel))
    facts = machine.check(excuses.why_not_pause, ways.ways_on)
    limit = Limit(timeout, cancel=cancel, what=_("Waiting for {name}").format(name=facts.name))
    console = machine.console
    answered = machine.domains.wait_for(lambda: _has_answered(machine, facts, console), limit)
    if answered is None:
        if limit.cancelled:
            limit.check()
        raise GuestSilent(
            _("{name} is running but has not answered within {seconds:g} s.").format(name=facts.name, seconds=timeout),
            _("Look at its console, give it more time with timeout=…, or cut its power with kill()."),
            details=console.tail(),
        )
    if not answered:
        if machine.state is MachineState.RUNNING:  # somebody has just resumed it
            return wait_ready(machine, timeout=max(0.0, limit.left), cancel=cancel)
        raise _ended(machine, facts.name, console)
    return None


def _ended(machine: Handle, name: str, console: SerialConsole) -> WrongState:
    """Return the error of a guest that stopped running before it was ready."""
    state, why = machine.state, reason_word(machine.reason)
    if state is MachineState.PAUSED:
        sentence = (
            _("{name} was paused before it was ready ({reason}).")
            if why
            else _("{name} was paused before it was ready.")
        )
        return WrongState(sentence.format(name=name, reason=why), _("Use resume(), then wait_ready() again."))
    sentence = (
        _("{name} went {state} while it booted ({reason}).") if why else _("{name} went {state} while it booted.")
    )
    return WrongState(
        sentence.format(name=name, state=state_word(state), reason=why),
        _("Its console says why: vm.console.tail()."),
        details=console.tail(),
    )


def _has_answered(machine: Handle, facts: MachineFacts, console: SerialConsole) -> bool | None:
    """True if it is ready, False if it is no longer running, None if neither."""
    if machine.state is not MachineState.RUNNING:
        return False
    if not facts.spec.agent:
        # A machine that goes on from saved memory was ready before, and may print nothing.
        return True if console.position or facts.reason is Reason.RESTORED else None
    try:
        agent.ping(machine.channel(facts.name), timeout=2)
    except (GuestSilent, TimedOut, ConnectionLost, WrongState):
        return None  # its state may have changed: the next look decides
    return True


def wait_for_state(machine: Handle, wanted: MachineState, *, timeout: float) -> None:
    """Wait until it is in a state, whoever causes that.

    Raises:
        TimedOut: `timeout` seconds have passed; the message names its state.
    """
    if not comes_to(machine, wanted, Limit(timeout)):
        raise TimedOut(
            _("{name} is {state}, and not {wanted} after {seconds:g} s.").format(
                name=machine.facts.name, state=state_word(machine.state), wanted=state_word(wanted), seconds=timeout
            ),
            _("Bring it there, or give it more time with timeout=…."),
        )


def _comes_to_run(machine: Handle, limit: Limit) -> None:
    """Wait a little until it runs; longer while somebody is at work on it, since a start takes long on a busy host."""
    while not comes_to(machine, MachineState.RUNNING, limit.within(STARTS_WITHIN)) and not limit.reached:
        if not machine.is_locked:
            return


def comes_to(machine: Handle, wanted: MachineState, limit: Limit) -> bool:
    """Wait until it is in a state; returns whether it was before the limit was reached."""
    return machine.domains.wait_for(lambda: True if machine.state is wanted else None, limit) is not None
