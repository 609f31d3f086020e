"""Guests that a daemon did not take over from its killed predecessor, since it could not read what that had noted.

libvirt 9.0 notes that a backup begins before it notes how far each disk is with it, and refuses to read such a note
("Missing required attribute 'state'"): for the next daemon, and for each one after it, the guest is off, though it
runs. So what is said of the backup is taken out of the guest's status file, and the daemon ended, which guests outlive;
the next one knows the guest again. What QEMU still copies is ended then.

Source: libvirt, `src/conf/backup_conf.c` (virDomainBackupDiskDefParseXML), `virdomainobjlist.c`.
Knows: libvirt's status files, processes. Must not know: whose act it is part of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import libvirt
import psutil
from lxml import etree

from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import find_own_daemon, runtime_folder
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.forgotten_backups import end_copying, strike_out
from labkit.hypervisor.process import find_pid

_ENDS_WITHIN = 5.0  # seconds


def take_over_unread(connection: Connection, of: str) -> list[str]:
    """Let the hypervisor know guests again that it lost so; returns their domains' names.

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
    for note in notes.values():
        strike_out(note)
    with contextlib.suppress(psutil.Error):
        daemon.kill()
        daemon.wait(_ENDS_WITHIN)
    return connection.read(lambda raw: [note.stem for id_, note in notes.items() if _take_over(raw, id_)])


def _names_of_active(raw: libvirt.virConnect) -> frozenset[str]:
    return frozenset(domain.name() for domain in raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def _find_unread(folder: Path, active: frozenset[str], of: str) -> dict[str, Path]:
    """The notes of guests that run, that the daemon does not know to run, and that it cannot read: by machine's id."""
    found: dict[str, Path] = {}
    for note in folder.glob("*.xml"):
        if note.stem in active:
            continue
        with contextlib.suppress(OSError, etree.XMLSyntaxError):
            root: Any = parse(note.read_text())
            ids = root.xpath("domain/uuid/text()")
            unread = root.xpath("backups/domainbackup/disks/disk[@backup='yes' and not(@state)]")
            asked = of in (*ids, *root.xpath("domain/metadata/*/@lab-id"))
            if asked and unread and str(find_pid(ids[0])) == root.get("pid"):
                found[ids[0]] = note
    return found


def _take_over(raw: libvirt.virConnect, machine_id: str) -> bool:
    """End what the guest's QEMU still copies; returns whether the daemon knows now that it runs."""
    domain = raw.lookupByUUIDString(machine_id)
    if not domain.isActive():
        return False
    end_copying(domain)
    return True
