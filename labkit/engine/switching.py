"""Switching one machine: start, stop, pause …, each one call if there is no excuse; `awaiting` waits for the result.

There is no plan and no journal: a switch changes neither definitions nor images.
Knows: the handle of a machine, the excuses. Must not know: the façade, how a verb reaches libvirt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit.engine.awaiting import comes_to
from labkit.engine.handle import Handle
from labkit.engine.mapping import make_saved_like_any_other
from labkit.engine.out_of_reach import end_process
from labkit.errors import (
    Cancelled,
    GuestError,
    HypervisorError,
    NoSpace,
    Refused,
    TimedOut,
    WrongState,
)
from labkit.guest import agent
from labkit.hypervisor.managed_save import save_memory
from labkit.language import _
from labkit.limits import Limit, OnBytes
from labkit.model import switch_excuses as excuses
from labkit.model import ways
from labkit.model.machine import MachineState, Reason
from labkit.model.state import LabState
from labkit.model.words import state_word, under_way
from labkit.plans.guard import ways_back
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot_excuses import find_unsavable
from labkit.units import format_size

ASK_AGAIN = 3.0
"""Seconds after which a guest that has not begun to shut down is asked again."""

GOES_ON_FOR, ASKED_AGAIN_AFTER, PATIENCE_AFTER_ERROR = 2.0, 0.7, 8.0
"""Seconds that a guest stopped by a failing disk must run to count as resumed; and how long that is tried."""


# --- on -------------------------------------------------------------------------------------------


def start(
    machine: Handle,
    why_not_disks: Callable[[], Refusal | None],
    *,
    timeout: float,
    cancel: threading.Event | None = None,
) -> None:
    """Boot the guest, or go on where it was saved.

    Args:
        why_not_disks: says why its disks cannot be used, or None. timeout: seconds.
        cancel: set it to cancel; a start that has begun is not stopped, and `Cancelled` is raised when the hypervisor
            is done with it.

    Raises:
        WrongState: it is running or paused. Refused: its disks cannot be used.
        HypervisorError: it could not start; it stays off. Cancelled: the message names its state.
    """
    with machine.switching(excuses.why_not_start, ways.for_start) as name:
        if refusal := why_not_disks():
            raise Refused(refusal.why, refusal.hint, refusal=refusal)
        Limit(cancel=cancel, what=under_way("start", name)).check()
        machine.domains.start(machine.id, subject=name, timeout=timeout, cancel=cancel)
        if cancel is not None and cancel.is_set():
            raise Cancelled(
                _("The start of {name} was interrupted when it had begun: {name} is {state}.").format(
                    name=name, state=state_word(machine.state)
                ),
                _("Let it run, or end it: stop(), kill()."),
            )


# --- paused and on --------------------------------------------------------------------------------


def pause(machine: Handle) -> None:
    """Stop its CPUs; memory and disks stay as they are."""
    with machine.switching(excuses.why_not_pause, ways.for_pause) as name:
        machine.domains.pause(machine.id, subject=name)


def resume(machine: Handle) -> None:
    """Let a paused machine go on; requests that a failing disk had stopped are made again.

    Raises:
        WrongState: it is not paused; or its disk still fails, and it is paused again.
    """
    with machine.switching(excuses.why_not_resume, ways.for_resume) as name:
        failing = machine.reason in (Reason.IO_ERROR, Reason.NO_SPACE)
        machine.domains.resume(machine.id, subject=name)
        if failing:
            _see_whether_it_goes_on(machine, name)


def _see_whether_it_goes_on(machine: Handle, name: str) -> None:
    """Resume it until it goes on: the first request may fail again, since only that finds a server that is back."""
    patience = Limit(PATIENCE_AFTER_ERROR)
    while comes_to(machine, MachineState.PAUSED, Limit(GOES_ON_FOR)):
        if patience.reached:
            raise WrongState(
                _("{name} goes on and is paused again: its disk still fails.").format(name=name),
                _("Is the host's disk full, or the server of a network disk away? Remove the cause, then resume()."),
            )
        time.sleep(ASKED_AGAIN_AFTER)
        machine.domains.resume(machine.id, subject=name)


# --- off ------------------------------------------------------------------------------------------


def save(
    machine: Handle,
    read: Callable[[], LabState],
    *,
    timeout: float,
    cancel: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
) -> None:
    """Write its memory to a file and switch it off; `start` goes on from that instant.

    Args:
        read: reads the lab, for the layers of its disks. timeout: seconds. on_bytes: called with bytes done and in all.

    Raises:
        WrongState: it is off or saved, or a disk has a format with which memory cannot be saved.
        Cancelled, TimedOut, NoSpace: it goes on as it was, and no file is left.
    """
    with machine.switching(excuses.why_not_save, ways.for_save) as name:
        state = read()
        if state.machines[name].apart:  # its memory would go on with another file
            raise WrongState(excuses.say_apart(state.machines[name]), " ".join(ways_back(state, state.machines[name])))
        if layer := find_unsavable(state, state.machines[name]):
            raise WrongState(
                _("The memory of {machine} cannot be saved: its disk {disk} has a layer in {format}.").format(
                    machine=name, disk=layer.disk, format=layer.format
                ),
                " ".join((ways.ways_off(state.machines[name]), _("Or detach that disk, or convert it to qcow2."))),
            )
        Limit(cancel=cancel, what=under_way("save", name)).check()
        try:
            save_memory(machine.domains, machine.id, subject=name, timeout=timeout, cancel=cancel, on_bytes=on_bytes)
            domain = state.machines[name].spec.domain_name
            make_saved_like_any_other(machine.domains.connection, machine.id, domain)
        except TimedOut as error:
            raise TimedOut(
                _("{name} was not saved within {seconds:g} s; it is {state} as before.").format(
                    name=name, seconds=timeout, state=state_word(machine.state)
                ),
                _("Save it again with more time: timeout=…."),
            ) from error
        except NoSpace as error:
            raise NoSpace(
                _("{name} cannot be saved: there is no room for its memory on the host's disk.").format(name=name),
                _("It is {state} as before. Free up to {size}, then save it again.").format(
                    state=state_word(machine.state), size=format_size(state.machines[name].spec.memory)
                ),
                details=error.details,
            ) from error
        except HypervisorError as error:
            if machine.state is MachineState.OFF:
                raise WrongState(
                    _("{name} went off before its memory was saved.").format(name=name),
                    _("There is nothing to save now: start() boots it."),
                    details=error.details,
                ) from error
            if cancel is None or not cancel.is_set():
                raise
            raise Cancelled(
                _("{what} was cancelled.").format(what=under_way("save", name)),
                _("It is {state} as before.").format(state=state_word(machine.state)),
            ) from error


def stop(machine: Handle, *, timeout: float, cancel: threading.Event | None = None) -> None:
    """Ask the guest to shut down, again and again, and wait until it has; does nothing when it is off.

    Raises:
        WrongState: paused or saved. TimedOut: it did not shut down in time and goes on running.
        Cancelled: it was asked, and may still shut down.
    """
    limit = Limit(timeout, cancel=cancel)
    with _unless_off(machine), machine.switching(excuses.why_not_stop, ways.for_stop) as name:
        Limit(cancel=cancel, what=under_way("stop", name)).check()
        while not _has_shut_down(machine, name, limit, cancel):
            if limit.cancelled:
                raise Cancelled(
                    _("Nobody waits for the end of {name} any more.").format(name=name),
                    _("It was asked to shut down, and may still do so; kill() cuts its power."),
                )
            if limit.reached:
                raise TimedOut(
                    _("{name} did not shut down within {seconds:g} s; it is still running.").format(
                        name=name, seconds=timeout
                    ),
                    _("It may still be booting, or hang: look at its console, or cut its power with kill()."),
                    details=machine.console.tail(),
                )


def _has_shut_down(machine: Handle, name: str, limit: Limit, cancel: threading.Event | None) -> bool:
    """Ask once, and wait a while for it to shut down."""
    if machine.facts.spec.agent:
        try:
            agent.ping(machine.channel(name), timeout=1)
            machine.domains.ask_shutdown(machine.id, subject=name, agent=True)
        except (GuestError, TimedOut, WrongState):
            _press_power_button(machine, name)
    else:
        _press_power_button(machine, name)
    return comes_to(machine, MachineState.OFF, Limit(max(0.0, min(limit.left, ASK_AGAIN)), cancel=cancel))


def _press_power_button(machine: Handle, name: str) -> None:
    try:
        machine.domains.ask_shutdown(machine.id, subject=name, agent=False)
    except WrongState:
        return  # it has just ended


def kill(machine: Handle) -> None:
    """Cut its power; does nothing when it is off.

    Raises:
        WrongState: it is saved.
    """
    with _unless_off(machine), machine.switching(excuses.why_not_kill, ways.for_kill) as name:
        facts = machine.facts
        if facts.is_out_of_reach:
            end_process(facts)
        else:
            machine.domains.kill(machine.id, subject=name)


@contextmanager
def _unless_off(machine: Handle) -> Iterator[None]:
    """Ignore an error of the block if the machine is off: a guest may end by itself at any instant."""
    try:
        yield
    except WrongState:
        if machine.state is not MachineState.OFF:
            raise
