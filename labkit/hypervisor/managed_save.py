"""Saving a guest's memory: a job of the hypervisor that can be watched and aborted.

Knows: libvirt's managed save. Must not know: which machines may be saved, who waits.
"""

from __future__ import annotations

import contextlib
import threading

import libvirt

from labkit.errors import LabError, TimedOut
from labkit.hypervisor.domains import Domains
from labkit.limits import Limit, OnBytes, unheard
from labkit.model.machine import MachineState

_ABORT_LIMIT, _ABORT_AGAIN = 30.0, 0.1


def save_memory(
    domains: Domains,
    machine_id: str,
    *,
    subject: str,
    timeout: float = 120,
    cancel: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
    then_runs: bool | None = None,
) -> None:
    """Write memory and devices to a file and end the process; aborted when the time is up.

    Args:
        cancel: set it to abort, which ends in a HypervisorError. on_bytes: called with bytes done and bytes in all.
        then_runs: whether the guest runs (else is paused) when it goes on; None: as it is now.

    Raises:
        TimedOut, NoSpace, HypervisorError: it goes on as it was, and no file is left.
    """
    flags = {None: 0, True: libvirt.VIR_DOMAIN_SAVE_RUNNING, False: libvirt.VIR_DOMAIN_SAVE_PAUSED}[then_runs]
    ended = threading.Event()

    def write(domain: libvirt.virDomain) -> None:
        try:
            domain.managedSave(flags)
        finally:
            ended.set()

    if cancel is not None or on_bytes is not None:
        look = (domains, machine_id, ended, cancel or threading.Event(), on_bytes or unheard)
        threading.Thread(target=_look_on, args=look, name=f"save {subject}", daemon=True).start()
    try:
        domains.on(machine_id, write, subject=subject, timeout=timeout)
    except TimedOut:
        _abort(domains, machine_id, ended, subject=subject)
        if domains.state(machine_id)[0] is not MachineState.SAVED:  # else the abort came too late
            raise


def _look_on(
    domains: Domains, machine_id: str, ended: threading.Event, cancel: threading.Event, on_bytes: OnBytes
) -> None:
    """Report how far a job is until it has ended, and abort it when asked to."""
    while not ended.wait(_ABORT_AGAIN):
        if cancel.is_set():
            _abort(domains, machine_id, ended, subject="")
        with contextlib.suppress(LabError):  # it has just ended, or is about to begin
            job = domains.on(machine_id, lambda domain: domain.jobStats())
            if total := job.get("memory_total"):
                on_bytes(total - job.get("memory_remaining", 0), total)


def _abort(domains: Domains, machine_id: str, ended: threading.Event, *, subject: str) -> None:
    """Abort a machine's job and wait until it has ended; one that is about to begin is aborted again."""
    limit = Limit(_ABORT_LIMIT)
    while not limit.reached and not ended.is_set():
        with contextlib.suppress(LabError):  # it has just ended, or is about to begin
            domains.on(machine_id, lambda domain: domain.abortJob(), subject=subject)
        ended.wait(_ABORT_AGAIN)
