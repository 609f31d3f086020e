"""Guests that a daemon did not take over from its killed predecessor, since it could not read their status files.

libvirt 9.0 records that a backup begins before it records the state of each disk in it, and refuses to read a status
file without that ("Missing required attribute 'state'"): for the next daemon, and each one after it, the guest is off
although it runs. So everything about the backup is removed from the file and the daemon is ended, which guests survive;
the next daemon knows the guest again. Then QEMU's copying is ended. Likewise with the end of a commit, see
`forgotten_commits`.

Source: libvirt, `src/conf/backup_conf.c` (virDomainBackupDiskDefParseXML), `virdomainobjlist.c`,
`src/qemu/qemu_blockjob.c` (qemuBlockJobEventProcess).
Knows: libvirt's status files, processes. Must not know: whose act it is part of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import libvirt
import psutil
from lxml import etree

from labkit.hypervisor import forgotten_commits
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import find_own_daemon, runtime_folder
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.forgotten_backups import end_copying, strike_out
from labkit.hypervisor.process import find_pid
from labkit.model.machine import machine_name

_ENDS_WITHIN = 5.0  # seconds


def take_over_unread(connection: Connection, of: str) -> list[str]:
    """Make the hypervisor take over the guests that it has lost in this way; returns the machines' names.

    Args:
        of: the id of a lab, or of one machine.
    """
    active = connection.read(_names_of_active)
    runtime = runtime_folder(connection.uri)
    if runtime is None or not (notes := _find_unread(runtime / "libvirt" / "qemu" / "run", active, of)):
        return []
    daemon = find_own_daemon(connection.uri)
    if daemon is None:
        return []
    for note, _machine in notes.values():
        strike_out(note)
        forgotten_commits.complete(note)
    with contextlib.suppress(psutil.Error):
        daemon.kill()
        daemon.wait(_ENDS_WITHIN)
    return connection.read(lambda raw: [machine for id_, (_note, machine) in notes.items() if _take_over(raw, id_)])


def _names_of_active(raw: libvirt.virConnect) -> frozenset[str]:
    return frozenset(domain.name() for domain in raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def _find_unread(folder: Path, active: frozenset[str], of: str) -> dict[str, tuple[Path, str]]:
    """The status files that the daemon cannot read, of guests that run although it takes them for off.

    With the machine's name, by its id.
    """
    found: dict[str, tuple[Path, str]] = {}
    for note in folder.glob("*.xml"):
        if note.stem in active:
            continue
        with contextlib.suppress(OSError, etree.XMLSyntaxError):
            root: Any = parse(note.read_text())
            ids = root.xpath("domain/uuid/text()")
            unread = root.xpath("backups/domainbackup/disks/disk[@backup='yes' and not(@state)]")
            asked = of in (*ids, *root.xpath("domain/metadata/*/@lab-id"))
            unread += forgotten_commits.find_unread(root)
            if asked and unread and str(find_pid(ids[0])) == root.get("pid"):
                labs = root.xpath("domain/metadata/*/@lab")
                found[ids[0]] = note, machine_name(labs[0] if labs else "", note.stem)
    return found


def _take_over(raw: libvirt.virConnect, machine_id: str) -> bool:
    """End the copying of the guest's QEMU; returns whether the daemon now knows that it runs."""
    domain = raw.lookupByUUIDString(machine_id)
    if not domain.isActive():
        return False
    end_copying(domain)
    return True
