"""What to do about a machine that is in the wrong state: for each excuse of `machine.py` the calls that fit its state.

A hint names no call that would be refused in the state the machine is in; what is possible only afterwards stands
behind *then* (tests/guests/test_ways.py tries all).

Knows: the states. Must not know: who asks, which act or switch it is for, but by the name of the excuse.
"""

from __future__ import annotations

from labkit.language import _
from labkit.model.machine import MachineFacts, MachineState


def ways_off(machine: MachineFacts) -> str:
    """Return how to bring a machine that is on or saved to *off*."""
    if machine.is_out_of_reach:
        return ways_to_reach(machine)
    if machine.state is MachineState.PAUSED:
        return _("Use kill() to cut its power, or resume(), then stop() to shut it down.")
    if machine.state is MachineState.SAVED:
        return _("Use start(): it goes on where it was saved; then stop().")
    return _("Use stop() to shut it down, or kill() to cut its power.")


def ways_on(machine: MachineFacts) -> str:
    """Return how to bring a machine to *running*."""
    if machine.is_out_of_reach:
        return ways_to_reach(machine)
    return _("Use resume() first.") if machine.state is MachineState.PAUSED else _("Use start() first.")


def ways_to_reach(machine: MachineFacts) -> str:
    """Return what to do about a guest that is out of the hypervisor's reach."""
    if machine.host:
        return _("Stop it there, and close the lab there; then do this again.")
    if machine.process is None:
        return _("End it where it was started: in another container, or as another user.")
    return _("It can only be ended: kill() cuts its power, its disks stay as they are.")


# --- for each excuse, if there is one -------------------------------------------------------------


def for_start(machine: MachineFacts) -> str:
    """Return what to do instead of a start."""
    if machine.is_out_of_reach:
        return ways_to_reach(machine)
    if machine.state is MachineState.PAUSED:
        return _("Use resume(): it goes on where it was paused. Or kill() first, to boot it.")
    return _("Use stop() first.")


def for_pause(machine: MachineFacts) -> str:
    """Return what to do before, or instead of, a pause."""
    if machine.state is MachineState.PAUSED:
        return _("There is nothing to pause: resume() lets it go on.")
    return ways_on(machine)


def for_resume(machine: MachineFacts) -> str:
    """Return what to do instead of resuming."""
    if machine.state is MachineState.RUNNING and not machine.is_out_of_reach:
        return _("There is nothing to resume.")
    return ways_on(machine)


def for_save(machine: MachineFacts) -> str:
    """Return what to do before, or instead of, saving."""
    if machine.state is MachineState.SAVED:
        return _("There is nothing to save: start() lets it go on where it was saved.")
    return ways_on(machine)


def for_stop(machine: MachineFacts) -> str:
    """Return what to do before, or instead of, shutting down."""
    return _("There is nothing to stop.") if machine.state is MachineState.OFF else ways_off(machine)


def for_kill(machine: MachineFacts) -> str:
    """Return what to do instead of cutting the power."""
    if machine.is_out_of_reach:
        return ways_to_reach(machine)
    return _("A saved machine has no power to cut: start() lets it go on where it was saved.")


def for_run(machine: MachineFacts) -> str:
    """Return what to do before a command can run inside."""
    if machine.is_out_of_reach or machine.state is MachineState.PAUSED:
        return ways_on(machine)
    if machine.state is MachineState.RUNNING:
        return _("Type on its console: vm.console.")
    return _("Use start() first, then wait_ready().")
