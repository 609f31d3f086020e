"""Memory that libvirt keeps of saved machines: where the file is, and how a machine comes to be saved again.

Knows: libvirt's managed save. Must not know: labs' folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import libvirt

from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import config_folder
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.record_xml import settle_text
from labkit.hypervisor.recording import read_saved
from labkit.hypervisor.sockets import place_sockets
from labkit.model.record import MachineRecord

_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
_LONG = 600.0  # seconds for calls that write or read a guest's memory


def find_files(connection: Connection, names: Mapping[str, str]) -> dict[str, Path]:
    """Return the files with the memory of those domains that are saved, by UUID, as far as they are found.

    Args:
        names: of the domains, by UUID.
    """
    saved = read_saved(connection) & names.keys()
    folder = config_folder(connection.uri) if saved else None
    if folder is None:
        return {}
    files = {id_: folder / "libvirt/qemu/save" / f"{names[id_]}.save" for id_ in saved}
    return {id_: path for id_, path in files.items() if path.exists()}


def read_definition(connection: Connection, machine: MachineRecord) -> str:
    """Return the definition that libvirt has of a machine."""
    return connection.read(lambda raw: str(raw.lookupByUUIDString(machine.id).XMLDesc(_INACTIVE)))


def save_again(connection: Connection, machine: MachineRecord, file: str, xml: str, *, was_running: bool) -> None:
    """Let a machine that is off take up a memory, and save it at once, without its guest running in between.

    Args:
        file: with the memory; it stays as it is. xml: the definition in it.
    """
    text = place_sockets(settle_text(xml, machine.xml), connection.runtime)
    then = libvirt.VIR_DOMAIN_SAVE_RUNNING if was_running else libvirt.VIR_DOMAIN_SAVE_PAUSED

    def save(raw: libvirt.virConnect) -> None:
        persistent = raw.lookupByUUIDString(machine.id).XMLDesc(_INACTIVE)
        raw.restoreFlags(file, text, libvirt.VIR_DOMAIN_SAVE_PAUSED)
        raw.defineXML(persistent)  # libvirt let the memory's own definition replace it
        raw.lookupByUUIDString(machine.id).managedSave(then)

    connection.call(once_log_is_free(save), subject=machine.name, timeout=_LONG)
