"""The memory that libvirt keeps of saved machines: finding its file, deleting an outdated one, saving a machine again.

A daemon that dies at the end of a save, or when a guest has just gone on from its memory, leaves the file although the
guest runs on. Once the guest is off, the next start would restore that memory over disks that are newer.
Knows: libvirt's managed save. Must not know: labs' folders.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import libvirt

from labkit.hypervisor import domain_facts
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import config_folder
from labkit.hypervisor.inquiry import find_daemon
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.mapped_xml import read_memory_xml
from labkit.hypervisor.process import began_at, find_pid
from labkit.hypervisor.record_xml import settle_text
from labkit.hypervisor.recording import read_saved
from labkit.hypervisor.sockets import place_sockets
from labkit.model.record import MachineRecord

_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
_LONG = 600.0  # seconds for calls that write or read a guest's memory


def find_files(connection: Connection, names: Mapping[str, str]) -> dict[str, Path]:
    """Return the memory files of those domains that are saved, by UUID, as far as they are found.

    Args:
        names: of the domains, by UUID.
    """
    saved = read_saved(connection) & names.keys()
    folder = config_folder(connection.uri) if saved else None
    if folder is None:
        return {}
    files = {id_: folder / "libvirt/qemu/save" / f"{names[id_]}.save" for id_ in saved}
    return {id_: path for id_, path in files.items() if path.exists()}


def drop_overtaken(connection: Connection, lab_id: str) -> list[str]:
    """Delete saved memory of a lab's machines that have gone on since; returns their names.

    That is the case if the file was written while the present process of the guest existed; and if the guest runs and
    its process is older than this daemon, which therefore did not restore it. A guest that is still starting may need
    its file.
    """
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE

    def find(raw: libvirt.virConnect) -> dict[str, tuple[str, str, bool]]:
        found = [(domain, domain_facts.read(domain, lab_id, saved=True)) for domain in raw.listAllDomains(flags)]
        runs = libvirt.VIR_DOMAIN_RUNNING
        return {
            facts.id: (facts.name, domain.name(), domain.state()[0] == runs)
            for domain, facts in found
            if facts is not None
        }

    if not (both := connection.read(find)):
        return []
    files = find_files(connection, {id_: domain for id_, (_name, domain, _runs) in both.items()})
    daemon = began_at(find_daemon(connection.uri))
    overtaken = [
        id_
        for id_, file in files.items()
        if _is_overtaken(file, began_at(find_pid(id_)), daemon if both[id_][2] else None)
    ]

    def remove(raw: libvirt.virConnect) -> None:
        for id_ in overtaken:
            raw.lookupByUUIDString(id_).managedSaveRemove(0)

    connection.call(remove)
    return [both[id_][0] for id_ in overtaken]


def _is_overtaken(file: Path, guest: float | None, daemon: float | None) -> bool:
    """Whether a guest has gone on although its memory file exists. guest, daemon: when their processes began."""
    with contextlib.suppress(OSError):  # it is just being deleted
        return guest is not None and (guest < file.stat().st_mtime or (daemon is not None and guest < daemon))
    return False


def read_definition(connection: Connection, machine: MachineRecord) -> str:
    """Return the definition that libvirt has of a machine."""
    return connection.read(lambda raw: str(raw.lookupByUUIDString(machine.id).XMLDesc(_INACTIVE)))


def save_again(connection: Connection, machine: MachineRecord, file: str, xml: str, *, was_running: bool) -> None:
    """Restore a memory into a machine that is off and save it at once, without letting the guest run in between.

    Args:
        file: the memory file, which stays as it is. xml: the definition in it.
    """
    text = place_sockets(settle_text(read_memory_xml(xml), machine.xml), connection.runtime)
    then = libvirt.VIR_DOMAIN_SAVE_RUNNING if was_running else libvirt.VIR_DOMAIN_SAVE_PAUSED

    def save(raw: libvirt.virConnect) -> None:
        persistent = raw.lookupByUUIDString(machine.id).XMLDesc(_INACTIVE)
        raw.restoreFlags(file, text, libvirt.VIR_DOMAIN_SAVE_PAUSED)
        raw.defineXML(persistent)  # restoring has replaced it with the one in the memory
        raw.lookupByUUIDString(machine.id).managedSave(then)

    connection.call(once_log_is_free(save), subject=machine.name, timeout=_LONG)
