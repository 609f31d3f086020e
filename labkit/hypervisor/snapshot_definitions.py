"""The definitions and records libvirt is given when a machine returns to a snapshot, or gets a forgotten one back.

Knows: what libvirt keeps of a snapshot and of a guest's memory. Must not know: when they are given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import libvirt

from labkit.hypervisor import domain_xml, snapshot_xml
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.mapped_xml import read_memory_xml
from labkit.hypervisor.record_xml import settle_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.model.machine import Accelerator, DiskSpec


def definition_from_xml(xml: str, now: str, disks: Iterable[DiskSpec], accelerator: Accelerator | None) -> str:
    """Return the configuration that a snapshot's XML keeps, on other images, with another accelerator if one is named.

    Args:
        now: the machine's present definition, whose name is kept: libvirt does not accept another one for the same
            UUID.
    """
    definition = snapshot_xml.definition_in_snapshot_xml(xml)
    if (spec := domain_xml.parse_domain_xml(now)) is not None:
        definition = domain_xml.rename_in_domain_xml(definition, spec.name, domain=spec.domain_name)
    if accelerator is not None:
        definition = domain_xml.accelerate_in_domain_xml(definition, accelerator)
    for disk in disks:
        definition = domain_xml.repoint_in_domain_xml(definition, disk)
    return definition


def revived_xml(xml: str, name: str, parent: str | None) -> str:
    """Return the XML with which a forgotten snapshot is brought back, from the XML that was kept of it."""
    named = snapshot_xml.rename_in_snapshot_xml(settle_xml(xml), name=name)
    return snapshot_xml.reparent_in_snapshot_xml(named, parent)


def read_restored(connection: Connection, memory: str, disks: Sequence[DiskSpec]) -> str:
    """Return the definition with which a guest goes on from a memory file, on other images."""
    return connection.read(lambda raw: restored_xml(raw, memory, disks, connection.runtime))


def restored_xml(raw: libvirt.virConnect, memory: str, disks: Sequence[DiskSpec], runtime: Path | None) -> str:
    """Return that definition from within a call of libvirt.

    Args:
        runtime: the instance's runtime folder, in which its sockets are.
    """
    xml = str(raw.saveImageGetXMLDesc(memory, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))
    for disk in disks:
        xml = domain_xml.repoint_in_domain_xml(xml, disk)
    return place_sockets(settle_xml(domain_xml.without_backing_chains(read_memory_xml(xml))), runtime)
