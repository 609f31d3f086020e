"""Changes of an existing domain XML: text in, text out; whatever is not asked for stays as it is.

Knows: libvirt's domain format. Must not know: connections, plans.
"""

from __future__ import annotations

from lxml import etree

from labkit.hypervisor.domain_xml.building import (
    build_cpu,
    build_pins,
    build_plain_questions,
    build_translation,
    domain_type,
    identify,
)
from labkit.hypervisor.domain_xml.parsing import get_attribute, get_child, parse
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineChanges
from labkit.units import KIB


def change_domain_xml(xml: str, changes: MachineChanges) -> str:
    """Return the XML with new memory, vCPUs or CPU model; everything else stays as it is."""
    domain = parse(xml)
    if changes.memory is not None:
        for tag in ("memory", "currentMemory"):
            element = domain.find(tag)
            if element is not None:
                element.set("unit", "KiB")
                element.text = str(-(-changes.memory // KIB))
    if changes.vcpus is not None:
        vcpu = get_child(domain, "vcpu")
        vcpu.text = str(changes.vcpus)
        if "current" in vcpu.attrib:
            del vcpu.attrib["current"]
        _repin(domain, changes.vcpus)
    if changes.cpu_model is not None:
        for element in domain.findall("cpu"):
            domain.remove(element)
        domain.append(build_cpu(changes.cpu_model))
    return etree.tostring(domain, encoding="unicode")


def rename_in_domain_xml(xml: str, name: str, *, domain: str | None = None) -> str:
    """Return the XML with a machine's new name in its kernel's command line.

    Args:
        domain: the domain's new name; None: leave that as it is.
    """
    root = parse(xml)
    if domain is not None:
        get_child(root, "name").text = domain
    line = root.find("os/cmdline")
    if line is not None:
        line.text = identify(Boot(command_line=(line.text or "").partition(" labkit.name=")[0]), name)
    return etree.tostring(root, encoding="unicode")


def repoint_in_domain_xml(xml: str, spec: DiskSpec) -> str:
    """Return the XML in which a disk uses another image; libvirt reads what is below from the image's header."""
    domain = parse(xml)
    for disk in domain.iterfind("devices/disk"):
        if get_attribute(disk, "target", "dev") == spec.target:
            get_child(disk, "source").set("file", spec.path)
            get_child(disk, "driver").set("type", spec.format.driver)
            _forget_chain(disk)
    return etree.tostring(domain, encoding="unicode")


def without_backing_chains(xml: str) -> str:
    """Return the XML without what libvirt wrote of the layers below each disk, so that it reads them again."""
    domain = parse(xml)
    for disk in domain.iterfind("devices/disk"):
        _forget_chain(disk)
    return etree.tostring(domain, encoding="unicode")


def accelerate_in_domain_xml(xml: str, accelerator: Accelerator) -> str:
    """Return the XML of a machine with another accelerator."""
    domain = parse(xml)
    domain.set("type", domain_type(accelerator))
    features = get_child(domain, "features")
    plain_questions = build_plain_questions()
    for parent, tag in ((features, "tcg"), (domain, str(plain_questions.tag))):
        for element in parent.findall(tag):
            parent.remove(element)
    if accelerator is Accelerator.TCG:
        features.append(build_translation())
        domain.append(plain_questions)
    return etree.tostring(domain, encoding="unicode")


def append_to_console_log(xml: str) -> str:
    """Return the XML of a guest that comes from another instance: its console log is continued, not begun again."""
    domain = parse(xml)
    for log in (*domain.iterfind("devices/serial/log"), *domain.iterfind("devices/console/log")):
        log.set("append", "on")
    return etree.tostring(domain, encoding="unicode")


def _forget_chain(disk: etree._Element) -> None:
    for chain in disk.findall("backingStore"):
        disk.remove(chain)
    source = disk.find("source")
    if source is not None and "index" in source.attrib:
        del source.attrib["index"]


def _repin(domain: etree._Element, vcpus: int) -> None:
    cputune = domain.find("cputune")
    pins = cputune.findall("vcpupin") if cputune is not None else []
    if cputune is None or not pins:
        return
    cpuset = pins[0].get("cpuset", "")
    for pin in pins:
        cputune.remove(pin)
    cputune.extend(build_pins(vcpus, cpuset))
