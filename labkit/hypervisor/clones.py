"""Clones in libvirt: define them from their original's definition, give them its snapshots, let them stand alone.

Knows: libvirt's domains and block jobs. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

import libvirt
from lxml.builder import ElementMaker

from labkit.errors import LabError
from labkit.hypervisor.clone_xml import clone_domain_xml, clone_snapshot_xml
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.snapshot_xml import definition_in_snapshot_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.model.machine import DiskSpec, MachineSpec

_E = ElementMaker()
_SECURE = libvirt.VIR_DOMAIN_XML_SECURE
_LOOK = 0.02  # seconds between two looks at a job


def define_clones(connection: Connection, source_id: str, snapshot: str | None, specs: Sequence[MachineSpec]) -> None:
    """Define clones with the configuration of a machine or of its snapshot; existing ones are left as they are."""

    def define(raw: libvirt.virConnect) -> None:
        known = {domain.UUIDString() for domain in raw.listAllDomains()}
        source = raw.lookupByUUIDString(source_id)
        if snapshot is None:
            xml = source.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | _SECURE)
        else:
            xml = definition_in_snapshot_xml(source.snapshotLookupByName(snapshot).getXMLDesc(_SECURE))
        for spec in specs:
            if spec.id not in known:
                raw.defineXML(place_sockets(clone_domain_xml(xml, spec), connection.runtime))

    connection.call(define, subject=specs[0].name, timeout=120)


def copy_snapshots(
    connection: Connection,
    source_id: str,
    spec: MachineSpec,
    names: Sequence[str],
    current: str | None,
    paths: Mapping[str, str],
) -> None:
    """Give a clone the snapshots of its original, on the copies of its images; existing ones are left as they are.

    Args:
        names: parents first. current: the one the clone's state began from. paths: the copies, by original.
    """

    def copy(raw: libvirt.virConnect) -> None:
        source, clone = raw.lookupByUUIDString(source_id), raw.lookupByUUIDString(spec.id)
        known = {snapshot.getName() for snapshot in clone.listAllSnapshots()}
        for name in names:
            if name in known:
                continue
            xml = clone_snapshot_xml(source.snapshotLookupByName(name).getXMLDesc(_SECURE), spec, paths)
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            clone.snapshotCreateXML(xml, flags | (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if name == current else 0))

    connection.call(copy, subject=spec.name)


# --- standing alone ---------------------------------------------------------------------------------


def abort_pulls(connection: Connection, machine_id: str, disks: Iterable[DiskSpec]) -> None:
    """End the block jobs that still copy into disks; what they have copied stays and does no harm."""

    def abort(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        for disk in disks:
            with contextlib.suppress(libvirt.libvirtError):
                domain.blockJobAbort(disk.target, 0)

    with contextlib.suppress(LabError):
        connection.call(abort)
