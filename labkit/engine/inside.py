"""Asking a running guest through its agent: whether it answers, to run a command, where its disks are mounted.

Knows: the handle of a machine, the agent. Must not know: plans, the façade.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from labkit.engine.handle import Handle
from labkit.errors import GuestError, GuestSilent, TimedOut, WrongState
from labkit.guest import agent
from labkit.language import _
from labkit.limits import Limit
from labkit.model import switch_excuses as excuses
from labkit.model import ways
from labkit.model.inside import CommandResult
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.words import reason_word, state_word

FINDS_A_DISK = 30.0
"""Seconds that a running guest may take to find a newly attached disk."""

AT_ONCE, TELLS_WITHIN = 3.0, 15.0
"""Seconds in which an agent must answer, on a busy host, what is mounted."""

_SHOWN = 200
"""How many letters of a command an error shows."""

_GO_ON = (Reason.RESTORED, Reason.MIGRATED)


def answers(machine: Handle) -> bool:
    """Whether it is running and its agent answers at once."""
    facts = machine.facts
    if excuses.why_not_run(facts):
        return False
    try:
        agent.ping(machine.channel(facts.name), timeout=AT_ONCE)
    except (GuestError, TimedOut, WrongState):
        return False
    return True


def _wait_until_heard(machine: Handle, facts: MachineFacts, limit: Limit) -> None:
    """Wait for the agent: the hypervisor connects to that of a guest that goes on from memory a moment later."""
    if facts.reason in _GO_ON:
        machine.domains.wait_for(lambda: answers(machine) or None, limit.within(AT_ONCE))


def run(
    machine: Handle,
    command: str | Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    cancel: threading.Event | None = None,
) -> CommandResult:
    """Run a command inside the guest, as root, and return its result.

    Args:
        command: a line for the guest's shell, or a sequence: program and arguments, no shell.
        timeout: seconds; then the command is ended. stdin: the command's input.

    Raises:
        WrongState: not running, no agent, or paused meanwhile. GuestSilent: the agent does not answer. TimedOut.
    """
    facts = machine.check(excuses.why_not_run, ways.for_run)
    limit = Limit(timeout, cancel=cancel, what=f"{facts.name}: {repr(command)[:_SHOWN]}")
    _wait_until_heard(machine, facts, limit)
    try:
        return agent.run(machine.channel(facts.name), command, limit=limit, stdin=stdin)
    except (GuestSilent, WrongState) as error:
        state, reason = machine.stands
        if state is not MachineState.PAUSED:
            raise
        raise WrongState(
            _("{name} was paused while it ran that ({reason}).").format(
                name=facts.name, reason=reason_word(reason) or state_word(state)
            ),
            _("Remove the cause, then call resume(); the command itself goes on inside."),
        ) from error


def wait_for_device(machine: Handle, disk: str) -> None:
    """Wait a moment until a running guest has found a new disk; if its agent is silent, do not wait."""
    target = next((spec.target for spec in machine.facts.spec.disks if spec.name == disk), None)
    if target is not None and answers(machine):
        with contextlib.suppress(GuestError, TimedOut, WrongState):
            run(machine, f"until [ -b /dev/{target} ]; do sleep 0.05; done", timeout=FINDS_A_DISK)


def find_mounted(machine: Handle) -> dict[str, str]:
    """Return where the running guest has its disks mounted, by target; empty if no agent answers."""
    facts = machine.facts
    if excuses.why_not_run(facts):
        return {}
    limit = Limit(TELLS_WITHIN)
    _wait_until_heard(machine, facts, limit)
    try:
        table = agent.run(machine.channel(facts.name), ["cat", "/proc/mounts"], limit=limit).stdout
    except (GuestError, TimedOut, WrongState):
        return {}
    mounts = [line.split()[:2] for line in table.splitlines()]
    mounted: dict[str, str] = {}
    for disk in facts.spec.disks:
        for device, place in mounts:
            if device.startswith(f"/dev/{disk.target}") or (device == "/dev/root" and disk.target == "vda"):
                mounted.setdefault(disk.target, place)
    return mounted
