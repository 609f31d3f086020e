"""Reading libvirt's metadata of snapshots as trees.

Knows: libvirt's snapshots. Must not know: how they are made, images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import libvirt

from labkit.hypervisor import snapshot_xml
from labkit.model.snapshot import SnapshotFacts, SnapshotTree, sort_nodes
from labkit.model.travel import SnapshotRecord


def read_tree(domain: libvirt.virDomain) -> SnapshotTree:
    """Return the snapshots of a domain, without those that another kernel deletes meanwhile."""
    understood = map(snapshot_xml.parse_snapshot_xml, read_texts(domain).values())
    return make_tree({facts.name: facts for facts in understood if facts is not None}, current_name(domain))


def tree_or_gone(domain: libvirt.virDomain) -> SnapshotTree | None:
    """Return the snapshots of a domain, or None if another kernel has deleted the domain meanwhile."""
    try:
        return read_tree(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def read_texts(domain: libvirt.virDomain, flags: int = 0) -> dict[str, str]:
    """Return the XML that libvirt keeps of a domain's snapshots, by name, without those deleted meanwhile."""
    found = {snapshot.getName(): _xml_or_gone(snapshot, flags) for snapshot in domain.listAllSnapshots()}
    return {name: text for name, text in found.items() if text is not None}


def _xml_or_gone(snapshot: libvirt.virDomainSnapshot, flags: int) -> str | None:
    try:
        return str(snapshot.getXMLDesc(flags))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return None
        raise


def read_dropped(records: Sequence[SnapshotRecord]) -> SnapshotTree:
    """Return the tree described by records that libvirt was made to forget for a while."""
    found = [(record, snapshot_xml.parse_snapshot_xml(record.xml)) for record in records]
    current = next((record.name for record in records if record.current), None)
    return make_tree({facts.name: facts for _record, facts in found if facts}, current)


def make_tree(nodes: Mapping[str, SnapshotFacts], current: str | None) -> SnapshotTree:
    """Return the tree made of these snapshots; a parent that is not among them is ignored."""
    known = {
        name: replace(facts, parent=facts.parent if facts.parent in nodes else None) for name, facts in nodes.items()
    }
    return SnapshotTree(nodes=sort_nodes(known), current=current if current in nodes else None)


def current_name(domain: libvirt.virDomain) -> str | None:
    """Return the snapshot that the current state began from, or None."""
    try:
        return str(domain.snapshotCurrent().getName())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return None
        raise
