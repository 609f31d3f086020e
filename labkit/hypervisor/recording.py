"""The records of machines for a lab's folder: read from libvirt and given back to it, word for word.

Knows: libvirt's definitions and snapshots. Must not know: where the record is kept, whose act it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import libvirt
from lxml import etree

from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import find_owner, parse, parse_domain_xml
from labkit.hypervisor.domains import ACT_NAMESPACE, Domains
from labkit.hypervisor.migration import give_records
from labkit.hypervisor.snapshot_reading import current_name
from labkit.hypervisor.snapshot_xml import parse_snapshot_xml
from labkit.model.machine import DiskSpec, MachineSpec, machine_name
from labkit.model.record import LabRecord, LostPoint, LostSnapshot, MachineRecord
from labkit.model.snapshot import SnapshotFacts
from labkit.model.travel import SnapshotRecord, sort_records

_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
_SECURE = libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT)


def read_machines(connection: Connection, lab_id: str) -> dict[str, MachineRecord]:
    """Return what libvirt knows of a lab's machines, by id; transient ones are left out."""

    def read(raw: libvirt.virConnect) -> dict[str, MachineRecord]:
        domains = raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
        records = (_read_or_gone(domain, lab_id) for domain in domains)
        return {record.id: record for record in records if record is not None}

    return connection.read(read)


def read_domains(connection: Connection) -> dict[str, str]:
    """Return the names of all domains, of whatever lab or program, by UUID."""
    return connection.read(lambda raw: {each.UUIDString(): each.name() for each in raw.listAllDomains(0)})


def read_saved(connection: Connection) -> frozenset[str]:
    """Return the UUIDs of the domains whose memory is saved."""
    flag = libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
    return connection.read(lambda raw: frozenset(domain.UUIDString() for domain in raw.listAllDomains(flag)))


def find_owners(connection: Connection, home: str) -> frozenset[str]:
    """Return the ids of the labs whose machines have their disks in a folder."""

    def read(raw: libvirt.virConnect) -> frozenset[str]:
        texts = [str(domain.XMLDesc(_INACTIVE)) for domain in raw.listAllDomains(0)]
        specs = [spec for spec in map(_read_spec, texts) if spec is not None]
        inside = f"{home}/disks/"
        return frozenset(spec.lab_id for spec in specs if any(disk.path.startswith(inside) for disk in spec.disks))

    return connection.read(read)


def active_images(machine: MachineRecord) -> list[str]:
    """Return the active images of a recorded machine, absolute."""
    spec = _read_spec(machine.xml)
    return [disk.path for disk in spec.disks if not disk.served] if spec else []


def find_disks(record: LabRecord) -> list[DiskSpec]:
    """Return the disks that a lab's record names in machines, their snapshots and lost snapshots."""
    specs = [spec for machine in record.machines if (spec := _read_spec(machine.xml))]
    records = [each for machine in record.machines for each in machine.snapshots]
    facts = filter(None, map(read_facts, [*records, *(lost.record for lost in record.lost)]))
    return [disk for disks in (*(spec.disks for spec in specs), *(each.disks for each in facts)) for disk in disks]


def read_memories(machine: MachineRecord) -> list[str]:
    """Return the files that hold the memory of a recorded machine's snapshots, absolute."""
    facts = filter(None, map(read_facts, machine.snapshots))
    return [each.memory for each in facts if each.memory]


def define_again(connection: Connection, machine: MachineRecord) -> None:
    """Define a machine with its snapshots, as it was recorded; it may be called again.

    Raises:
        LabError: libvirt refuses its definition or one of its snapshots, and then knows only a part of the machine.
    """
    Domains(connection).define_text(machine.xml, subject=machine.name)
    give_records(connection, machine.id, machine.snapshots)


def find_lost_points(lost: LostSnapshot) -> dict[str, LostPoint]:
    """Return what the record says of the images that a lost snapshot kept, by absolute path."""
    facts = read_facts(lost.record)
    return {} if facts is None else _points(lost, facts)


def read_forgotten(point: LostPoint) -> SnapshotFacts | None:
    """Return the snapshot that kept an image, as far as the record knows it, or None."""
    if point.snapshot is None:
        return None
    return read_facts(SnapshotRecord(name=point.snapshot, parent=point.parent, xml=point.xml, current=False))


def read_facts(record: SnapshotRecord) -> SnapshotFacts | None:
    """Return the snapshot that a record describes, or None if its text has no mark of labkit."""
    try:
        return parse_snapshot_xml(record.xml)
    except (etree.XMLSyntaxError, ValueError, KeyError, StopIteration):
        return None


def is_alike(one: MachineRecord, other: MachineRecord) -> bool:
    """Whether two records of a machine agree in its definition, its snapshots, their order and the current one."""
    if _read_spec(one.xml) != _read_spec(other.xml) or len(one.snapshots) != len(other.snapshots):
        return False
    pairs = zip(_by_name(one), _by_name(other), strict=True)
    return all(
        (a.name, a.parent, a.current) == (b.name, b.parent, b.current) and is_same_snapshot(a, b) for a, b in pairs
    )


def _by_name(machine: MachineRecord) -> list[SnapshotRecord]:
    return sorted(machine.snapshots, key=lambda snapshot: snapshot.name)


def is_same_snapshot(one: SnapshotRecord, other: SnapshotRecord) -> bool:
    """Whether two records are of the same snapshot, whatever its name: taken at the same time, of the same images."""
    here, there = read_facts(one), read_facts(other)
    return here.identity == there.identity if here and there else one.name == other.name


def find_lost_images(machine: MachineRecord) -> dict[str, LostPoint]:
    """Return what the record says of the images of a machine that libvirt does not know, by absolute path."""
    points: dict[str, LostPoint] = {}
    for snapshot in machine.snapshots:
        points |= find_lost_points(LostSnapshot(machine_id=machine.id, machine=machine.name, record=snapshot))
    spec = _read_spec(machine.xml)
    for disk in spec.disks if spec else ():
        points.setdefault(
            disk.path,
            LostPoint(
                machine_id=machine.id,
                machine=machine.name,
                disk=disk.name,
                snapshot=None,
                description="",
                parent=None,
                memory=None,
                xml=machine.xml,
            ),
        )
    return points


def find_files(machine: MachineRecord) -> frozenset[str]:
    """Return the files of a recorded machine: images, memory of snapshots, console logs."""
    facts = [each for each in map(read_facts, machine.snapshots) if each]
    specs = [spec for spec in (_read_spec(machine.xml), *(each.spec for each in facts)) if spec]
    logs = (spec.console_log for spec in specs if spec.console_log)
    return frozenset((*find_lost_images(machine), *read_memories(machine), *logs))


def _read_spec(xml: str) -> MachineSpec | None:
    try:
        return parse_domain_xml(xml)
    except (etree.XMLSyntaxError, ValueError, KeyError, StopIteration):
        return None


def _points(lost: LostSnapshot, facts: SnapshotFacts) -> dict[str, LostPoint]:
    return {
        disk.path: LostPoint(
            machine_id=lost.machine_id,
            machine=lost.machine,
            disk=disk.name,
            snapshot=facts.name,
            description=facts.description,
            parent=lost.record.parent,
            memory=facts.memory,
            xml=lost.record.xml,
            created=facts.created,
        )
        for disk in facts.disks
        if not disk.served
    }


def _read_or_gone(domain: libvirt.virDomain, lab_id: str) -> MachineRecord | None:
    """The record of a domain, or None if it is not of the lab or is just being removed."""
    try:
        xml = str(domain.XMLDesc(_INACTIVE))
        root = parse(xml)
        owner = find_owner(root)
        if owner is None or owner.lab_id != lab_id:
            return None
        return MachineRecord(
            id=domain.UUIDString(),
            name=machine_name(owner.lab, domain.name()),
            domain=domain.name(),
            xml=_without_mark(root),
            snapshots=_read_snapshots(domain),
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() in _GONE:
            return None
        raise


def _read_snapshots(domain: libvirt.virDomain) -> tuple[SnapshotRecord, ...]:
    texts: Mapping[str, str] = {each.getName(): str(each.getXMLDesc(_SECURE)) for each in domain.listAllSnapshots()}
    current = current_name(domain) if texts else None
    return sort_records(
        SnapshotRecord(name=name, parent=parse(xml).findtext("parent/name"), xml=xml, current=name == current)
        for name, xml in texts.items()
    )


def _without_mark(domain: etree._Element) -> str:
    """The text without the mark that acts leave, which would be different after each act."""
    for mark in domain.findall(f"metadata/{{{ACT_NAMESPACE}}}act"):
        parent = mark.getparent()
        if parent is not None:
            parent.remove(mark)
    return etree.tostring(domain, encoding="unicode")


def with_uri(machine: MachineRecord, *, instance: str, uri: str) -> MachineRecord:
    """Return a machine with the instance it is on, as it is recorded."""
    return replace(machine, instance=instance, uri="" if instance else uri)
