"""A machine, its disks and its owner, read from libvirt's domain XML.

Text or elements in, values out. Knows: libvirt's domain format. Must not know: connections, plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lxml import etree

from labkit.model.architecture import X86_64
from labkit.model.disk import disk_name
from labkit.model.image import Format
from labkit.model.machine import (
    DEFAULT_CPU,
    Accelerator,
    Boot,
    Chipset,
    DiskSpec,
    MachineSpec,
    machine_name,
)
from labkit.model.usage import DiskLimits
from labkit.units import KIB

NAMESPACE = "urn:labkit:machine:1"
"""The XML namespace of what labkit keeps in a domain's metadata."""

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose machine a domain is: the lab's id and name, the guest image, whether an agent is expected."""

    lab_id: str
    lab: str
    image: str
    agent: bool


@lru_cache(maxsize=512)
def find_files(xml: str) -> frozenset[str]:
    """Return the files that a domain's or snapshot's XML names: images of disks and those below them, memory."""
    return frozenset(path for element in parse(xml).iter() if (path := element.get("file", "")).startswith("/"))


@lru_cache(maxsize=512)  # most of what is read before an act has been read before
def parse_domain_xml(xml: str) -> MachineSpec | None:
    """Return the machine that a domain XML describes, or None if it has no mark of labkit."""
    return parse_domain(parse(xml))


def parse_domain(domain: etree._Element) -> MachineSpec | None:
    """Return the machine that a `<domain>` element describes, or None if it has no mark of labkit."""
    owner = find_owner(domain)
    if owner is None:
        return None
    name = _text(domain, "name")
    disks = tuple(parse_disk(disk) for disk in domain.iterfind("devices/disk"))
    pins = {pin.get("cpuset", "") for pin in domain.iterfind("cputune/vcpupin")}
    pinned = pins.pop() if len(pins) == 1 else ""
    command_line = _text(domain, "os/cmdline")
    return MachineSpec(
        name=machine_name(owner.lab, name),
        lab=owner.lab,
        lab_id=owner.lab_id,
        id=_text(domain, "uuid"),
        memory=_kib(domain) * KIB,
        vcpus=int(_text(domain, "vcpu") or 1),
        image=owner.image,
        boot=Boot(
            kernel=_text(domain, "os/kernel") or None,
            initramfs=_text(domain, "os/initrd") or None,
            command_line=command_line.partition(" labkit.name=")[0],
        ),
        disks=disks,
        accelerator=Accelerator.KVM if domain.get("type") == "kvm" else Accelerator.TCG,
        cpu_model=_text(domain, "cpu/model") or DEFAULT_CPU,
        panic_device=domain.find("devices/panic") is not None,
        agent=owner.agent,
        pinned_to=int(pinned) if pinned.isdigit() else None,
        genid=_text(domain, "genid") or None,
        console_log=get_attribute(domain, "devices/serial/log", "file") or None,
        architecture=get_attribute(domain, "os/type", "arch") or X86_64.name,
        chipset=Chipset.Q35 if Chipset.Q35 in get_attribute(domain, "os/type", "machine") else Chipset.PC,
    )


def find_owner(domain: etree._Element) -> Owner | None:
    """Return the mark of labkit in a domain, or None if it is somebody else's."""
    element = domain.find(f"metadata/{{{NAMESPACE}}}machine")
    return None if element is None else parse_owner(element)


def parse_owner(element: etree._Element) -> Owner:
    """Return the mark of labkit from its element."""
    return Owner(
        lab_id=element.get("lab-id", ""),
        lab=element.get("lab", ""),
        image=element.get("image", ""),
        agent=element.get("agent") == "yes",
    )


def parse_disk(element: etree._Element) -> DiskSpec:
    """Return the disk that a `<disk>` element describes; its name in the lab comes from its image's file name."""
    target = get_attribute(element, "target", "dev")
    if element.get("type") == "network":
        name, socket = get_attribute(element, "source", "name"), get_attribute(element, "source/host", "socket")
        return DiskSpec(name=name, target=target, path=socket, format=Format.RAW, served=True)
    path = get_attribute(element, "source", "file")
    return DiskSpec(
        name=disk_name(path),
        target=target,
        path=path,
        format=_format(get_attribute(element, "driver", "type")),
    )


def parse_limits(xml: str) -> dict[str, DiskLimits]:
    """Return the limits of each disk of a domain, by the disk's name in the lab."""
    return {
        parse_disk(disk).name: DiskLimits(
            iops=int(disk.findtext("iotune/total_iops_sec") or 0),
            bytes_per_second=int(disk.findtext("iotune/total_bytes_sec") or 0),
        )
        for disk in parse(xml).iterfind("devices/disk")
    }


def find_serial_line(xml: str) -> str | None:
    """Return the host's end of the first serial line in a running domain's XML, or None."""
    return get_attribute(parse(xml), "devices/serial[@type='pty']/source", "path") or None


def find_disk_xml(xml: str, target: str) -> str | None:
    """Return the XML of a domain's disk with this target, or None."""
    for disk in parse(xml).iterfind("devices/disk"):
        if get_attribute(disk, "target", "dev") == target:
            return etree.tostring(disk, encoding="unicode")
    return None


def find_disk_files(xml: str) -> tuple[str, ...]:
    """Return the paths of the image files a domain's XML names, in its order.

    Raises:
        ValueError: it is not a domain's XML.
    """
    try:
        domain = parse(xml)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    if domain.tag != "domain":
        raise ValueError(domain.tag)
    paths = (get_attribute(disk, "source", "file") for disk in domain.iterfind("devices/disk"))
    return tuple(path for path in paths if path)


def parse(xml: str) -> etree._Element:
    """Return the root element of XML from a trusted hypervisor; entities and the network are off all the same."""
    return etree.fromstring(xml.encode(), _PARSER)


def get_child(domain: etree._Element, tag: str) -> etree._Element:
    """Return a child that every domain has."""
    return next(domain.iterchildren(tag))


def get_attribute(element: etree._Element, path: str, name: str) -> str:
    """Return an attribute of an element below, or "" if there is no such element or attribute."""
    child = element.find(path)
    return "" if child is None else child.get(name, "")


def _text(element: etree._Element, path: str) -> str:
    return element.findtext(path) or ""


def _kib(domain: etree._Element) -> int:
    memory = get_child(domain, "memory")
    factor = {"b": 1 / KIB, "bytes": 1 / KIB, "KiB": 1, "MiB": KIB, "GiB": KIB * KIB}
    return round(int(memory.text or 0) * factor[memory.get("unit", "KiB")])


def _format(driver: str) -> Format:
    return next((format for format in Format if format.driver == driver), Format.RAW)
