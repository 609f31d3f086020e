"""Excuses: why a machine cannot be switched now, a sentence each; None when it can.

Knows: machines as values. Must not know: how a machine is switched, plans.
"""

from __future__ import annotations

import posixpath

from labkit.language import _
from labkit.model.machine import MachineFacts, MachineState


def why_not_start(machine: MachineFacts) -> str | None:
    """Return why the machine cannot start (or resume from saved), or None."""
    return None if not machine.is_active else _is(machine)


def why_not_pause(machine: MachineFacts) -> str | None:
    """Return why the machine cannot be paused, or None."""
    return None if not machine.is_out_of_reach and machine.state is MachineState.RUNNING else _is(machine)


def why_not_resume(machine: MachineFacts) -> str | None:
    """Return why the machine cannot go on, or None."""
    return None if machine.state is MachineState.PAUSED else _is(machine)


def why_not_save(machine: MachineFacts) -> str | None:
    """Return why the machine's memory cannot be saved, or None."""
    return None if not machine.is_out_of_reach and machine.is_active else _is(machine)


def why_not_stop(machine: MachineFacts) -> str | None:
    """Return why the guest cannot be asked to shut down, or None."""
    return None if not machine.is_out_of_reach and machine.state is MachineState.RUNNING else _is(machine)


def why_not_kill(machine: MachineFacts) -> str | None:
    """Return why its power cannot be cut, or None."""
    seen = not machine.is_out_of_reach or (machine.process is not None and not machine.host)
    return None if seen and machine.is_active else _is(machine)


def why_not_run(machine: MachineFacts) -> str | None:
    """Return why commands cannot run inside, or None."""
    if machine.state is not MachineState.RUNNING or machine.is_out_of_reach:
        return _is(machine)
    return None if machine.spec.agent else _no_agent(machine)


def why_not_pin(machine: MachineFacts) -> str | None:
    """Return why its vCPUs cannot be bound to a host CPU, or None."""
    return None if not machine.is_out_of_reach and machine.state is not MachineState.SAVED else _is(machine)


def say_out_of_reach(machine: MachineFacts) -> str:
    """Return the sentence about a guest out of reach: as which process it runs, on which computer."""
    if machine.host:
        sentence = _("{name} is running on another computer, {host}, as process {pid}: out of reach from here.")
    elif machine.process is None:
        sentence = _("{name} is running, out of reach: a process that cannot be seen from here has its disks.")
    else:
        sentence = _("{name} is running, out of reach of the hypervisor, as process {pid}.")
    return sentence.format(name=machine.name, host=machine.host, pid=machine.process or "?")


def say_apart(machine: MachineFacts) -> str:
    """Return the sentence about a guest whose images were deleted, moved or exchanged while it ran."""
    sentence = _("{file} was deleted, moved or exchanged while {name} ran: its guest goes on in the old file.")
    return sentence.format(name=machine.name, file=posixpath.basename(machine.apart[0][0]))


def _is(machine: MachineFacts) -> str:
    if machine.is_out_of_reach:
        return say_out_of_reach(machine)
    words = {
        MachineState.OFF: _("{name} is off."),
        MachineState.RUNNING: _("{name} is running."),
        MachineState.PAUSED: _("{name} is paused."),
        MachineState.SAVED: _("{name} is saved."),
    }
    return words[machine.state].format(name=machine.name)


def _no_agent(machine: MachineFacts) -> str:
    return _("{name} has no guest agent; use its console.").format(name=machine.name)
