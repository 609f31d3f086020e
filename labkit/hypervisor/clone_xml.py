"""The definition and the snapshots of a clone, made from those of its original: text in, text out.

What distinguishes machines is changed: names, ids, addresses, disks, files. Everything else stays as in the original.
Knows: libvirt's domain and snapshot formats. Must not know: connections, plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lxml import etree

from labkit.hypervisor.domain_xml import (
    identify,
    parse,
    parse_domain_xml,
    repoint_in_domain_xml,
    without_backing_chains,
)
from labkit.hypervisor.domain_xml.parsing import get_child
from labkit.hypervisor.snapshot_xml import definition_in_snapshot_xml
from labkit.model.machine import MachineSpec


def clone_domain_xml(xml: str, spec: MachineSpec) -> str:
    """Return the XML of a clone: `spec` says who it is and which disks it has, the rest is as in `xml`."""
    for disk in spec.disks:
        xml = repoint_in_domain_xml(xml, disk)
    domain = parse(xml)
    domain.attrib.pop("id", None)
    get_child(domain, "name").text = spec.domain_name
    get_child(domain, "uuid").text = spec.id
    _name_itself(domain, spec)
    for serial in domain.iterfind("devices/serial/log"):
        serial.set("file", spec.console_log or "")
    for address in domain.findall("devices/interface/mac"):
        get_parent(address).remove(address)  # libvirt chooses another
    # What libvirt has chosen for the original's sockets and terminals is left out, so that it chooses again.
    for source in (*domain.findall("devices/channel/source"), *domain.findall("devices/serial/source")):
        get_parent(source).remove(source)
    for label in domain.findall("seclabel"):
        domain.remove(label)
    return etree.tostring(domain, encoding="unicode")


def clone_memory_xml(xml: str, spec: MachineSpec) -> str:
    """Return the definition at the beginning of a memory file, made that of a clone."""
    return without_backing_chains(clone_domain_xml(xml, spec))


def clone_snapshot_xml(xml: str, spec: MachineSpec, paths: Mapping[str, str]) -> str:
    """Return the XML of a clone's snapshot, without the memory that the original's may have.

    Args:
        xml: the original's. spec: the clone, which says who it is. paths: the copies of the original's images.
    """
    definition = definition_in_snapshot_xml(xml)
    then = parse_domain_xml(definition)
    if then is None:
        return xml
    disks = tuple(replace(disk, path=paths[disk.path]) for disk in then.disks)
    boot = then.boot.keeping_identity(keep=spec.boot.keeps_identity)
    clone = replace(
        then, name=spec.name, id=spec.id, genid=spec.genid, console_log=spec.console_log, disks=disks, boot=boot
    )
    snapshot = parse(xml)
    for tag in ("domain", "inactiveDomain", "cookie", "memory"):
        for element in snapshot.findall(tag):
            snapshot.remove(element)
    snapshot.append(etree.fromstring(clone_domain_xml(definition, clone)))
    state = get_child(snapshot, "state")
    if state.text in ("running", "paused"):
        state.text = "disk-snapshot"
    etree.SubElement(snapshot, "memory").set("snapshot", "no")
    for source in snapshot.iterfind("disks/disk/source"):
        old = source.get("file", "")
        source.set("file", paths.get(old, old))
    return etree.tostring(snapshot, encoding="unicode")


def _name_itself(domain: etree._Element, spec: MachineSpec) -> None:
    """Write the clone's identity where the guest can read it: for its firmware and on its kernel's command line."""
    for genid in domain.findall("genid"):
        domain.remove(genid)
    if spec.genid:
        genid = etree.Element("genid")
        genid.text = spec.genid
        domain.insert(domain.index(get_child(domain, "uuid")) + 1, genid)
    for entry in domain.iterfind("sysinfo/system/entry"):
        if entry.get("name") == "uuid":
            entry.text = spec.id
    line = domain.find("os/cmdline")
    if line is not None:
        line.text = identify(spec.boot, spec.name)


def get_parent(element: etree._Element) -> etree._Element:
    """Return the parent of an element that is not the root."""
    parent = element.getparent()
    return element if parent is None else parent
