"""Guests that map their memory from a file: starting one, giving it the state of its devices, saving it like any other.

Knows: libvirt's domains, QEMU's incoming migration. Must not know: how the files are made, whose act it is.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from labkit.errors import HypervisorError, LabError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.mapped_xml import plain_memory_xml
from labkit.hypervisor.snapshots import LONG
from labkit.language import _

_LOOK = 0.003  # seconds between two looks whether QEMU has read what it was sent
_WITHIN = 60.0
_WAITS = "inmigrate"  # QEMU's word: it waits for the state of the devices
_ID_DIGITS = 12


def waking_socket(machine_id: str, runtime: Path) -> Path:
    """Return the socket through which a guest that is being woken gets the state of its devices.

    Args:
        runtime: the runtime folder of its hypervisor instance, since a socket's path must be short.
    """
    return runtime / f"{machine_id.replace('-', '')[:_ID_DIGITS]}.waking"


def wake(connection: Connection, machine_id: str, xml: str, devices: bytes, *, subject: str) -> None:
    """Give a machine that is off a guest with this definition, paused; the machine keeps its own definition.

    Args:
        xml: the definition with the arguments to map its memory. devices: the stream with everything else.

    Raises:
        LabError: its QEMU does not accept the stream; the machine is off again.
    """
    runtime = connection.runtime
    if runtime is None:
        raise HypervisorError(_("this hypervisor has no folder of ours for a socket."))
    place = waking_socket(machine_id, runtime)

    def begin(raw: libvirt.virConnect) -> None:
        raw.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)

    def take_in(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        _command(domain, "migrate-incoming", uri=f"unix:{place}")
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_WITHIN)
            line.connect(str(place))
            line.sendall(devices)
        end = time.monotonic() + _WITHIN
        while _command(domain, "query-status")["status"] == _WAITS:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(_LOOK)

    place.unlink(missing_ok=True)
    try:
        connection.call(once_log_is_free(begin), subject=subject, timeout=LONG)
        try:
            connection.call(take_in, subject=subject, timeout=2 * _WITHIN)
        except BaseException as error:
            end(connection, machine_id)
            if isinstance(error, OSError):
                raise HypervisorError(_("its QEMU did not take the state of its devices.")) from error
            raise
    finally:
        place.unlink(missing_ok=True)


def is_waiting(connection: Connection, machine_id: str) -> bool:
    """Return whether a guest still waits for the state of its devices, since whoever was to send it has ended."""
    try:
        answer = connection.read(lambda raw: _command(raw.lookupByUUIDString(machine_id), "query-status"))
    except LabError:
        return False  # it has just ended
    return bool(answer["status"] == _WAITS)


def end(connection: Connection, machine_id: str) -> None:
    """End a guest that never ran."""
    with contextlib.suppress(LabError):  # its QEMU has ended by itself
        connection.call(lambda raw: raw.lookupByUUIDString(machine_id).destroy())


def keep_like_any_other(connection: Connection, machine_id: str, snapshot: str) -> None:
    """Make libvirt's record of a snapshot of a guest with mapped memory like any other; it may be called again."""
    secure = libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE

    def redo(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        kept = domain.snapshotLookupByName(snapshot)
        xml = kept.getXMLDesc(secure)
        plain = plain_memory_xml(xml)
        if plain is not xml:
            current = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if kept.isCurrent() else 0
            domain.snapshotCreateXML(plain, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | current)

    connection.call(redo)


def _command(domain: libvirt.virDomain, command: str, **arguments: str) -> Any:
    """Return QEMU's answer to a command."""
    text = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
    if "error" in answer:
        raise HypervisorError(_("QEMU refuses: {why}").format(why=answer["error"].get("desc", "")))
    return answer["return"]
