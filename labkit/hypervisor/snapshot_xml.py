"""libvirt's snapshot XML in both directions: for taking snapshots, and as kept of those taken.

Text in, values out; values in, text out. No connection is needed.
Knows: libvirt's snapshot format (https://libvirt.org/formatsnapshot.html). Must not know: connections, plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from lxml import etree
from lxml.builder import ElementMaker

from labkit.hypervisor.domain_xml import parse, parse_disk, parse_domain
from labkit.language import _, language
from labkit.model.machine import DiskSpec
from labkit.model.snapshot import SnapshotFacts, SnapshotKind

_E = ElementMaker()

SAID_NAMESPACE = "urn:labkit:said:1"
"""The XML namespace of what labkit adds about a running guest: the last line on its console, its QEMU's version.

It is kept in the metadata of the definition that the guest runs with."""

_KINDS = {
    "shutoff": SnapshotKind.OFF,
    "running": SnapshotKind.RUNNING,
    "paused": SnapshotKind.PAUSED,
    "disk-snapshot": SnapshotKind.DISK_ONLY,
}


def build_snapshot_xml(name: str, description: str, memory: str | None, overlays: Sequence[DiskSpec]) -> str:
    """Return the XML to take a snapshot with: every disk goes on in an image that exists already.

    Args:
        memory: absolute path of the file for the memory, or None. overlays: the new active images.
    """
    kept = _E.memory(snapshot="external", file=memory) if memory else _E.memory(snapshot="no")
    disks = _E.disks(
        *(
            _E.disk(
                _E.driver(type=disk.format.driver),
                _E.source(file=disk.path),
                name=disk.target,
                snapshot="external",
                type="file",
            )
            for disk in overlays
        )
    )
    snapshot = _E.domainsnapshot(_E.name(name), _E.description(description), kept, disks)
    return etree.tostring(snapshot, encoding="unicode")


def build_said_xml(line: str, qemu: str) -> str:
    """Return the element with the last line on a guest's console and the version of the QEMU that runs it."""
    return etree.tostring(_E.said(line, qemu=qemu), encoding="unicode")


def parse_snapshot_xml(xml: str) -> SnapshotFacts | None:
    """Return the snapshot that an XML describes, or None if its machine has no mark of labkit."""
    return _parse_snapshot(xml, language())


@lru_cache(maxsize=4096)
def _parse_snapshot(xml: str, _language: str) -> SnapshotFacts | None:
    """Cached: what libvirt keeps of a snapshot seldom changes, and is read before each act."""
    snapshot = parse(xml)
    configuration = _configuration(snapshot)
    spec = None if configuration is None else parse_domain(configuration)
    if spec is None:
        return None
    memory = snapshot.find("memory")
    said = snapshot.find(f"domain/metadata/{{{SAID_NAMESPACE}}}said")
    return SnapshotFacts(
        name=snapshot.findtext("name") or "",
        description=snapshot.findtext("description") or "",
        parent=snapshot.findtext("parent/name"),
        created=int(snapshot.findtext("creationTime") or 0),
        kind=_KINDS.get(snapshot.findtext("state") or "", SnapshotKind.DISK_ONLY),
        spec=spec,
        memory=memory.get("file") if memory is not None else None,
        said="" if said is None else said.text or "",
        qemu="" if said is None else said.get("qemu", ""),
        excuse=_why_foreign(snapshot),
    )


def rename_in_snapshot_xml(xml: str, *, name: str | None = None, description: str | None = None) -> str:
    """Return a snapshot's XML with another name or description."""
    snapshot = parse(xml)
    for tag, text in (("name", name), ("description", description)):
        if text is None:
            continue
        element = snapshot.find(tag)
        if element is None:
            element = etree.SubElement(snapshot, tag)
        element.text = text
    return etree.tostring(snapshot, encoding="unicode")


def reparent_in_snapshot_xml(xml: str, parent: str | None) -> str:
    """Return a snapshot's XML with another parent."""
    snapshot = parse(xml)
    for element in snapshot.findall("parent"):
        snapshot.remove(element)
    if parent is not None:
        snapshot.insert(1, _E.parent(_E.name(parent)))
    return etree.tostring(snapshot, encoding="unicode")


def parent_in_snapshot_xml(xml: str) -> str | None:
    """Return the name of a snapshot's parent, or None."""
    return parse(xml).findtext("parent/name")


def keep_definition(definition: str) -> str:
    """Return the XML of a snapshot that keeps a configuration and nothing else."""
    return etree.tostring(_E.domainsnapshot(parse(definition)), encoding="unicode")


def definition_in_snapshot_xml(xml: str) -> str:
    """Return the domain XML of the configuration that a snapshot restores."""
    domain = _configuration(parse(xml))
    if domain is None:
        return ""
    domain.tag = "domain"
    return etree.tostring(domain, encoding="unicode")


def definitions_in_snapshot_xml(xml: str) -> tuple[str, str | None]:
    """Return the domain XML of the configuration that a snapshot restores, and that of the guest as it ran, or None."""
    snapshot = parse(xml)
    live = snapshot.find("domain")
    if live is None or snapshot.find("inactiveDomain") is None:
        return definition_in_snapshot_xml(xml), None
    return definition_in_snapshot_xml(xml), etree.tostring(live, encoding="unicode")


def _configuration(snapshot: etree._Element) -> etree._Element | None:
    """The element with the configuration: the inactive one, which differs after a running machine was reconfigured."""
    inactive = snapshot.find("inactiveDomain")
    return inactive if inactive is not None else snapshot.find("domain")


def _why_foreign(snapshot: etree._Element) -> str | None:
    memory = snapshot.find("memory")
    inside = memory is not None and memory.get("snapshot") == "internal"
    if inside or any(disk.get("snapshot") == "internal" for disk in snapshot.iterfind("disks/disk")):
        return _("It was taken inside its image file by another tool; mixing both kinds can destroy images.")
    domain = _configuration(snapshot)
    disks = () if domain is None else tuple(parse_disk(disk) for disk in domain.iterfind("devices/disk"))
    taken = {disk.get("name") for disk in snapshot.iterfind("disks/disk") if disk.get("snapshot") == "external"}
    left_out = [disk.target for disk in disks if disk.target not in taken]
    if left_out:
        return _("It was taken without {disks}.").format(disks=", ".join(left_out))
    return None
