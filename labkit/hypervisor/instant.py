"""Guests that go on from another one's memory: where that comes from, checking it with libvirt, restoring, the clock.

Knows: libvirt's domains and memory files. Must not know: how such a file is made, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import time

import libvirt

from labkit.errors import LabError
from labkit.hypervisor.clone_xml import clone_domain_xml
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse_domain_xml
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.snapshot_xml import definition_in_snapshot_xml
from labkit.hypervisor.snapshots import LONG
from labkit.hypervisor.sockets import place_sockets
from labkit.model.machine import MachineSpec

_SECURE = libvirt.VIR_DOMAIN_XML_SECURE


def is_memory_of(connection: Connection, memory: str, spec: MachineSpec) -> bool:
    """Return whether this libvirt reads a file as the memory of that machine on those disks."""
    xml = connection.read(lambda raw: str(raw.saveImageGetXMLDesc(memory, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)))
    found = parse_domain_xml(xml)
    if found is None:
        return False
    disks = {disk.target: disk.path for disk in found.disks}
    return (found.name, found.id) == (spec.name, spec.id) and disks == {disk.target: disk.path for disk in spec.disks}


def create_passing(connection: Connection, xml: str, *, subject: str) -> None:
    """Boot a guest of a machine that is defined nowhere; it ends with the process that asks for it."""
    connection.call(
        once_log_is_free(lambda raw: raw.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY)),
        subject=subject,
        timeout=LONG,
    )


def end_named(connection: Connection, domain_name: str) -> None:
    """End a guest by its domain's name, if there is one."""
    with contextlib.suppress(LabError):
        connection.call(lambda raw: raw.lookupByName(domain_name).destroy())


def save_to(connection: Connection, memory: str, spec: MachineSpec) -> None:
    """Write a running guest's memory to a file, and end it."""

    def save(raw: libvirt.virConnect) -> None:
        raw.lookupByUUIDString(spec.id).save(memory)

    connection.call(save, subject=spec.name, timeout=LONG)


def restore(connection: Connection, memory: str, spec: MachineSpec) -> None:
    """Restore a memory file into a clone that is off; its guest is paused then."""
    paused = libvirt.VIR_DOMAIN_SAVE_PAUSED

    def go_on(raw: libvirt.virConnect) -> None:
        raw.restoreFlags(memory, None, paused)

    connection.call(once_log_is_free(go_on), subject=spec.name, timeout=LONG)


def define_again(connection: Connection, source_id: str, snapshot: str, spec: MachineSpec) -> None:
    """Give a clone its first definition back, which libvirt has replaced by the one in its memory file."""

    def define(raw: libvirt.virConnect) -> None:
        source = raw.lookupByUUIDString(source_id).snapshotLookupByName(snapshot)
        xml = clone_domain_xml(definition_in_snapshot_xml(source.getXMLDesc(_SECURE)), spec)
        raw.defineXML(place_sockets(xml, connection.runtime))

    connection.call(define, subject=spec.name)


def set_clock(connection: Connection, spec: MachineSpec) -> None:
    """Let a guest's agent set its clock to the host's.

    Raises:
        HypervisorError: the agent cannot.
    """

    def now(raw: libvirt.virConnect) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        raw.lookupByUUIDString(spec.id).setTime({"seconds": seconds, "nseconds": nanoseconds})

    connection.call(now, subject=spec.name)
