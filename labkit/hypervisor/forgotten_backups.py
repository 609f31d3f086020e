"""A backup begun by a daemon that was then killed: the next daemon knows of it but cannot end it.

libvirt 9.0 first records that a backup begins, and only then what it copies. If it is killed in between, or just when
QEMU has ended the copying, the next daemon blocks the guest with a backup that never ends, or whose data it calls
missing. Each further daemon does the same, since it reads this from the guest's status file. So the entry is removed
from that file and the daemon is ended at once, which guests survive; the next one knows of no backup.

Source: libvirt, `src/qemu/qemu_backup.c`, `qemu_process.c` (qemuProcessRecoverJob).
Knows: libvirt's status files, QEMU's jobs. Must not know: images, plans.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import libvirt
import psutil
from lxml import etree

from labkit.errors import HypervisorError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import find_own_daemon, status_file
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.monitor import ask

_LOOK = 0.02  # seconds between two looks
_ENDS_WITHIN = 5.0  # seconds in which a daemon that knows its backup ends it, and QEMU the copying
_TRIES = 3


def end_backup(connection: Connection, domain: libvirt.virDomain) -> bool:
    """End a guest's backup; returns whether the daemon had to be ended, so that there is a new connection now."""
    with contextlib.suppress(libvirt.libvirtError):
        domain.abortJob()
    if _has_ended(domain):
        return False
    end_copying(domain)
    return _forget(connection, domain)


def _has_ended(domain: libvirt.virDomain) -> bool:
    end = time.monotonic() + _ENDS_WITHIN
    while domain.isActive():
        try:
            if domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE:
                return True
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
                return True  # it has just ended
            return bool(error.get_error_code() != libvirt.VIR_ERR_INTERNAL_ERROR)  # its data are missing
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    return True


def end_copying(domain: libvirt.virDomain) -> None:
    """Let QEMU end its copying itself, since libvirt does not know of it."""
    end = time.monotonic() + _ENDS_WITHIN
    while time.monotonic() < end and (jobs := [job for job in ask(domain, "query-jobs") if job["type"] == "backup"]):
        for job in jobs:
            with contextlib.suppress(HypervisorError):  # it has just ended
                ask(domain, "job-dismiss" if job["status"] == "concluded" else "job-cancel", id=job["id"])
        time.sleep(_LOOK)


def _forget(connection: Connection, domain: libvirt.virDomain) -> bool:
    """Remove a backup's entry from the status file and end the daemon; again if the daemon has written it once more."""
    status = status_file(connection.uri, domain.name()) if find_own_daemon(connection.uri) else None
    if status is None:
        return False
    ended = False
    for _try in range(_TRIES):
        daemon = find_own_daemon(connection.uri)
        if not strike_out(status):
            break
        if daemon is not None:
            with contextlib.suppress(psutil.Error):
                daemon.kill()
                ended = True
                daemon.wait(_ENDS_WITHIN)
    return ended


def strike_out(status: Path) -> bool:
    """Remove all that a status file says of a backup; returns whether there was anything."""
    try:
        root = parse(status.read_text())
    except (OSError, etree.XMLSyntaxError):
        return False
    found: list[Any] = [*root.xpath("job[@async='backup']"), *root.xpath("backups")]
    if not root.xpath("job[@async='backup']"):
        return False
    for element in found:
        root.remove(element)
    write_status(status, root)
    return True


def write_status(status: Path, root: etree._Element) -> None:
    """Exchange a guest's status file; its daemon must be ended right after, before it writes its own again."""
    draft = status.with_name(f"{status.name}.labkit")
    draft.touch(mode=0o600)
    draft.write_bytes(etree.tostring(root, pretty_print=True))
    draft.replace(status)
