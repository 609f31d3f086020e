"""Guests that a daemon was about to start when it was killed: it had recorded that, and no emulator existed yet.

libvirt 9.0 takes such a status file for a guest that is still being started, although nobody starts it: every call for
that guest, also one to end it, waits for ever, and each further daemon reads the file again. So the daemon is ended,
which guests survive, and the file removed; the next daemon knows the machine as it was before, off or saved.

Source: libvirt, `src/qemu/qemu_process.c` (qemuProcessReconnect).
Knows: libvirt's status files, processes. Must not know: whose act it is part of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import libvirt
import psutil
from lxml import etree

from labkit.hypervisor import domain_facts
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import find_own_daemon, status_file
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.process import began_at, find_pid

_TRIES = 3
_MOMENT = 0.05  # seconds; the times of processes and files are no more precise
_ENDS_WITHIN = 5.0  # seconds


def free_unborn(connection: Connection, lab_id: str) -> list[str]:
    """Free a lab's machines that are blocked in this way; returns their names."""
    freed: list[str] = []
    for _try in range(_TRIES):  # somebody else may have started a daemon before the file was gone
        starting = connection.read(lambda raw: _find_starting(raw, lab_id))
        daemon = find_own_daemon(connection.uri) if starting else None
        if daemon is None:
            break
        notes = {name: status_file(connection.uri, domain) for name, domain in starting.items()}
        left = {name: note for name, note in notes.items() if note and _is_left_over(note, began_at(daemon.pid))}
        if not left:
            break
        with contextlib.suppress(psutil.Error):
            daemon.kill()
            daemon.wait(_ENDS_WITHIN)
        for note in left.values():
            note.unlink(missing_ok=True)
        freed += [name for name in left if name not in freed]
    return freed


def _find_starting(raw: libvirt.virConnect, lab_id: str) -> dict[str, str]:
    """The lab's machines that are being started and have no process yet: their domains' names by machine name."""
    found: dict[str, str] = {}
    for domain in raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED):
        starts = domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP]
        if starts and find_pid(domain.UUIDString()) is None:
            facts = domain_facts.read(domain, lab_id, saved=False)
            found |= {facts.name: domain.name()} if facts else {}
    return found


def _is_left_over(note: Path, daemon: float | None) -> bool:
    """Whether the status file of a guest without a process is older than the daemon, which would write a new one.

    In the moments of its own start a daemon does not start guests.
    """
    with contextlib.suppress(OSError, etree.XMLSyntaxError):
        return (
            daemon is not None and note.stat().st_mtime < daemon + _MOMENT and parse(note.read_text()).get("pid") == "0"
        )
    return False
