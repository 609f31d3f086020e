"""Recorded definitions adapted to the place where they come back: text in, text out.

That place may be another folder, a lab of another name or identity, another computer.
Knows: libvirt's domain and snapshot formats. Must not know: connections, where the record is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lxml import etree

from labkit.hypervisor.clone_xml import get_parent
from labkit.hypervisor.domain_xml import accelerate_in_domain_xml, identify, parse
from labkit.hypervisor.domain_xml.parsing import NAMESPACE, get_child, parse_domain
from labkit.hypervisor.record_trust import domains_of, drop_what_libvirt_chooses
from labkit.model.machine import Accelerator, machine_name
from labkit.model.record import LabRecord, LostSnapshot, MachineRecord
from labkit.model.travel import SnapshotRecord


def settle_in(machine: MachineRecord, *, images: Path) -> MachineRecord:
    """Return a machine adapted to this computer: its emulator, the folder of its kernels.

    Args:
        images: the folder of guest images here; a kernel of the same name there is the same kernel.
    """

    def change(root: etree._Element) -> None:
        for domain in domains_of(root):
            drop_what_libvirt_chooses(domain)
            for element in (*domain.findall("os/kernel"), *domain.findall("os/initrd")):
                here = find_boot_file(images, element.text or "")
                if here is not None:
                    element.text = str(here)

    return change_texts(machine, change)


def settle_xml(xml: str) -> str:
    """Return a definition (of a domain, a snapshot or in a memory file) without what libvirt is to choose again."""
    root = parse(xml)
    for domain in domains_of(root):
        drop_what_libvirt_chooses(domain)
    return etree.tostring(root, encoding="unicode")


def settle_text(xml: str, now: str) -> str:
    """Return the definition in a saved memory with the files that the machine's own definition names now."""
    domain, definition = parse(xml), parse(now)
    drop_what_libvirt_chooses(domain)
    for path in ("os/kernel", "os/initrd"):
        element, new = domain.find(path), definition.find(path)
        if element is not None and new is not None:
            element.text = new.text
    return etree.tostring(domain, encoding="unicode")


def find_boot_file(images: Path, path: str) -> Path | None:
    """Return where a kernel or initramfs is here: at its old path in the data folder, else by its name; or None.

    Its name contains a hash of its content.
    """
    if path.startswith(f"{images}{os.sep}") and os.path.exists(path):
        return Path(path)
    name = os.path.basename(path)
    here = (images / "blobs" / name, images / name)
    return next((place for place in here if name and place.exists()), None)


def find_boot_files(machine: MachineRecord) -> list[str]:
    """Return the paths of the kernels and initramfs that a machine's definition and snapshots name, each once."""
    found: dict[str, None] = {}
    for text in (machine.xml, *(snapshot.xml for snapshot in machine.snapshots)):
        root = parse(text)
        for domain in domains_of(root):
            for element in (*domain.findall("os/kernel"), *domain.findall("os/initrd")):
                found |= {element.text: None} if element.text else {}
    return list(found)


def accelerate(machine: MachineRecord, accelerator: Accelerator) -> MachineRecord:
    """Return a machine with another accelerator in its current definition."""
    spec = parse_domain(parse(machine.xml))
    if spec is None or spec.accelerator is accelerator:
        return machine
    return replace(machine, xml=accelerate_in_domain_xml(machine.xml, accelerator))


def move_record(record: LabRecord, *, home: str, lab: str) -> LabRecord:
    """Return the record of a lab moved to another folder, whose name it takes; it may be applied again."""

    def change(root: etree._Element) -> None:
        _replace_paths(root, f"{record.home}{os.sep}", f"{home}{os.sep}")
        _name_lab(root, lab=lab, lab_id=record.lab_id)

    machines = tuple(_with_domain(change_texts(each, change), lab) for each in record.machines)
    lost = tuple(replace(each, record=_change_snapshot(each.record, change)) for each in record.lost)
    return replace(record, home=home, machines=machines, lost=lost)


def copy_record(
    record: LabRecord,
    *,
    home: str,
    lab: str,
    lab_id: str,
    ids: Mapping[str, str],
    genids: Mapping[str, str],
    keep: bool,
) -> LabRecord:
    """Return the record of a copy of a lab, in another folder and with other ids.

    Args:
        ids: the new UUIDs by the old ones. genids: the new generation ids by old UUID; where there is none, the old one
            is kept.
        keep: whether the guests keep the identities on their disks.
    """
    moved = move_record(record, home=home, lab=lab)

    def copied(machine: MachineRecord) -> MachineRecord:
        def change(root: etree._Element) -> None:
            _name_lab(root, lab=lab, lab_id=lab_id)
            _give_identity(root, ids, genids, keep=keep)

        return replace(change_texts(machine, change), id=ids[machine.id], instance="", uri="")

    def copied_lost(each: LostSnapshot) -> LostSnapshot:
        def change(root: etree._Element) -> None:
            _name_lab(root, lab=lab, lab_id=lab_id)
            _give_identity(root, ids, genids, keep=keep)

        id_ = ids.get(each.machine_id, each.machine_id)
        return replace(each, machine_id=id_, record=_change_snapshot(each.record, change))

    made = {
        name: replace(each, machine_id=ids.get(each.machine_id, each.machine_id)) for name, each in moved.made.items()
    }
    return replace(
        moved,
        lab_id=lab_id,
        machines=tuple(map(copied, moved.machines)),
        lost=tuple(map(copied_lost, moved.lost)),
        made=made,
    )


def change_memory_xml(xml: str, machine: MachineRecord, old: str, new: str) -> str:
    """Return the definition in a memory file, adapted to its machine and to where the lab is now.

    Args:
        old, new: the lab's folder then and now.
    """
    root, now = parse(xml), parse(machine.xml)
    _replace_paths(root, f"{old}{os.sep}", f"{new}{os.sep}")
    owner, owner_now = (each.find(f"metadata/{{{NAMESPACE}}}machine") for each in (root, now))
    if owner is not None and owner_now is not None:
        owner.set("lab", owner_now.get("lab", ""))
        owner.set("lab-id", owner_now.get("lab-id", ""))
    for path in ("name", "uuid", "genid", "sysinfo/system/entry[@name='uuid']"):
        element, element_now = root.find(path), now.find(path)
        if element is not None and element_now is not None:
            element.text = element_now.text
    return etree.tostring(root, encoding="unicode")


def change_texts(machine: MachineRecord, change: Callable[[etree._Element], None]) -> MachineRecord:
    """Return a machine with a change applied to all its XML texts."""
    return replace(
        machine,
        xml=_change(machine.xml, change),
        snapshots=tuple(_change_snapshot(snapshot, change) for snapshot in machine.snapshots),
    )


def _change_snapshot(snapshot: SnapshotRecord, change: Callable[[etree._Element], None]) -> SnapshotRecord:
    return replace(snapshot, xml=_change(snapshot.xml, change))


def _change(text: str, change: Callable[[etree._Element], None]) -> str:
    root = parse(text)
    change(root)
    return etree.tostring(root, encoding="unicode")


def _replace_paths(root: etree._Element, old: str, new: str) -> None:
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if str(value).startswith(old):
                element.set(name, new + str(value).removeprefix(old))
        if element.text and element.text.strip().startswith(old):
            element.text = new + element.text.strip().removeprefix(old)


def _name_lab(root: etree._Element, *, lab: str, lab_id: str) -> None:
    """Write into every definition which lab it belongs to, and the domain name that follows from that."""
    for domain in domains_of(root):
        owner = domain.find(f"metadata/{{{NAMESPACE}}}machine")
        name = domain.find("name")
        if owner is None or name is None:
            continue
        machine = machine_name(owner.get("lab", ""), name.text or "")
        owner.set("lab", lab)
        owner.set("lab-id", lab_id)
        spec = parse_domain(domain)
        if spec is not None:
            name.text = replace(spec, name=machine, lab=lab).domain_name


def _give_identity(root: etree._Element, ids: Mapping[str, str], genids: Mapping[str, str], *, keep: bool) -> None:
    """Give a machine its own identity: UUID, generation id, addresses."""
    for domain in domains_of(root):
        uuid = get_child(domain, "uuid")
        old = uuid.text or ""
        uuid.text = ids.get(old, old)
        for entry in domain.iterfind("sysinfo/system/entry"):
            if entry.get("name") == "uuid":
                entry.text = ids.get(entry.text or "", entry.text)
        genid = domain.find("genid")
        if genid is not None and old in genids:
            genid.text = genids[old]
        for address in domain.findall("devices/interface/mac"):
            if old in genids:
                get_parent(address).remove(address)  # libvirt chooses another
        spec, line = parse_domain(domain), domain.find("os/cmdline")
        if spec is not None and line is not None:
            line.text = identify(spec.boot.keeping_identity(keep=keep), spec.name)


def _with_domain(machine: MachineRecord, lab: str) -> MachineRecord:
    spec = parse_domain(parse(machine.xml))
    return machine if spec is None else replace(machine, domain=replace(spec, lab=lab).domain_name)
