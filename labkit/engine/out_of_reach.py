"""Guests that run otherwise than their hypervisor says: out of its reach, or on files that nobody finds any more.

After a logout the runtime folder is emptied, and with it what the daemon knew of its guests; their processes run on,
and a new daemon takes them for off. QEMU itself can still be recognized: it holds locks on its images (image_locks.py)
and has the machine's id on its command line. Such a machine is *running, out of reach*: it is never shown as off or
treated so.

And a guest in reach may have lost its files: if a folder is deleted, moved or brought back from a backup, the guest
goes on in the files that it has open. Its machine is *apart* from what the folder holds under those names now.

Knows: the rooms below. Must not know: who asks, what follows from it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import replace

import psutil

from labkit.errors import HostTrouble, LabError, WrongState
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import find_exchanged, find_pid, find_users
from labkit.language import _
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.storage.image_locks import is_held

Others = Mapping[str, tuple[str, int | None]]
"""Guests on other computers: the computer's name and the process id, by machine id."""

_ENDS_WITHIN = 30.0  # seconds


def see_all(machines: Mapping[str, MachineFacts], domains: Domains, others: Others) -> dict[str, MachineFacts]:
    """Return machines in their true state, including those out of their hypervisor's reach; see `see`."""
    return {name: see(facts, domains, others) for name, facts in machines.items()}


def see(facts: MachineFacts, domains: Domains, others: Others) -> MachineFacts:
    """Return a machine in its true state: one that the hypervisor takes for off may be running out of its reach.

    A tool that works on an image, another machine that was given it, and a guest that is just starting or ending do
    not count.

    Args:
        others: the guests that run on other computers (lease.py).
    """
    if facts.is_active:
        return _see_files(facts)
    if facts.reason is Reason.MIGRATED:
        return facts
    if facts.id in others:
        host, pid = others[facts.id]
        return replace(facts, state=MachineState.RUNNING, reason=Reason.OUT_OF_REACH, process=pid, host=host)
    held = [disk.path for disk in facts.spec.disks if not disk.served and _is_held(disk.path)]
    if not held or domains.is_active(facts.id):
        return facts
    pid = find_pid(facts.id)
    if pid is None and (find_users(held) or not any(map(_is_held, held))):
        return facts
    return replace(facts, state=MachineState.RUNNING, reason=Reason.OUT_OF_REACH, process=pid)


def _see_files(facts: MachineFacts) -> MachineFacts:
    """The machine with the images that are not the files it has open; a process is only looked into on suspicion."""
    disks = (facts.live or facts.spec).disks
    paths = [disk.path for disk in disks if not disk.served and not _is_held(disk.path)]
    apart = find_exchanged(facts.id, paths) if paths else ()
    return replace(facts, apart=apart) if apart else facts


def end_process(facts: MachineFacts) -> None:
    """Cut the power of a guest out of reach: end its process, and return once it has ended.

    Raises:
        WrongState: it cannot be found, or is not ours. HostTrouble: it does not end.
    """
    pid = facts.process
    if pid is None or find_pid(facts.id) != pid:
        raise WrongState(_("The process of {name} is not to be found here.").format(name=facts.name))
    try:
        process = psutil.Process(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        process.wait(_ENDS_WITHIN)
    except psutil.NoSuchProcess:
        return
    except PermissionError as error:
        raise WrongState(
            _("The process {pid} of {name} belongs to another user.").format(pid=pid, name=facts.name),
            _("Ask whoever started it to end it."),
        ) from error
    except psutil.TimeoutExpired as error:
        raise HostTrouble(
            _("The process {pid} of {name} does not end.").format(pid=pid, name=facts.name),
            _("Look at it with ps; kill -9 {pid} ends it for sure.").format(pid=pid),
        ) from error


def _is_held(path: str) -> bool:
    try:
        return is_held(path)
    except LabError:
        return False  # an unreadable file is not the disk of a running guest of ours
