"""A machine's definition as libvirt's domain XML, both ways, and edits of an existing one.

Text in, values out; values in, text out. No connection is needed.
Knows: libvirt's domain format (https://libvirt.org/formatdomain.html). Must not know: connections, plans.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree
from lxml.builder import ElementMaker

from labkit.model.disk import disk_name
from labkit.model.image import Format
from labkit.model.machine import (
    DEFAULT_CPU,
    Accelerator,
    Boot,
    DiskSpec,
    MachineChanges,
    MachineSpec,
    machine_name,
)
from labkit.units import KIB, MIB

NAMESPACE = "urn:labkit:machine:1"
"""The XML namespace of what labkit keeps in a domain's metadata."""

ROOT_PORTS = 8
"""PCIe root ports from creation, so that disks can be attached to a running guest."""

TRANSLATION_BUFFER = 64 * MIB
"""Bytes of QEMU's TCG translation buffer; its default would grow to 1 GiB for each guest."""

AGENT_CHANNEL = "org.qemu.guest_agent.0"

_E = ElementMaker()
_M = ElementMaker(namespace=NAMESPACE, nsmap={"labkit": NAMESPACE})
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose machine a domain is: the lab's id and name, the guest image, whether an agent is expected."""

    lab_id: str
    lab: str
    image: str
    agent: bool


def build_domain_xml(spec: MachineSpec) -> str:
    """Return the domain XML of a machine."""
    domain = _E.domain(
        _E.name(spec.domain_name),
        _E.uuid(spec.id),
        *([_E.genid(spec.genid)] if spec.genid else []),
        _E.metadata(_owner_element(spec)),
        _E.memory(str(-(-spec.memory // KIB)), unit="KiB"),
        _E.vcpu(str(spec.vcpus), placement="static"),
        *([_pins(spec.vcpus, spec.pinned_to)] if spec.pinned_to is not None else []),
        _E.sysinfo(_E.system(_E.entry("labkit", name="manufacturer"), _E.entry(spec.id, name="uuid")), type="smbios"),
        _boot(spec),
        _features(spec),
        _cpu(spec.cpu_model),
        _E.on_poweroff("destroy"),
        _E.on_reboot("restart"),
        _E.on_crash("destroy"),
        _devices(spec),
        type="kvm" if spec.accelerator is Accelerator.KVM else "qemu",
    )
    return etree.tostring(domain, pretty_print=True, encoding="unicode")


def parse_domain_xml(xml: str) -> MachineSpec | None:
    """Return the machine a domain XML describes, or None where it carries no mark of labkit."""
    return parse_domain(parse(xml))


def parse_domain(domain: etree._Element) -> MachineSpec | None:
    """Return the machine a `<domain>` element describes, or None where it carries no mark of labkit."""
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
        console_log=_attribute(domain, "devices/serial/log", "file") or None,
    )


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
        vcpu = _child(domain, "vcpu")
        vcpu.text = str(changes.vcpus)
        if "current" in vcpu.attrib:
            del vcpu.attrib["current"]
        _repin(domain, changes.vcpus)
    if changes.cpu_model is not None:
        for element in domain.findall("cpu"):
            domain.remove(element)
        domain.append(_cpu(changes.cpu_model))
    return etree.tostring(domain, encoding="unicode")


def rename_in_domain_xml(xml: str, name: str) -> str:
    """Return the XML with a machine's new name in its kernel's command line."""
    domain = parse(xml)
    line = domain.find("os/cmdline")
    if line is not None:
        line.text = identify(Boot(command_line=(line.text or "").partition(" labkit.name=")[0]), name)
    return etree.tostring(domain, encoding="unicode")


def identify(boot: Boot, name: str) -> str:
    """Return the kernel's command line with the machine's name in a form fit for a host name."""
    return f"{boot.command_line} labkit.name={host_name(name)}"


def host_name(name: str) -> str:
    """Return a name as a host name: ASCII letters, digits and hyphens, at most 63."""
    ascii_name = name if name.isascii() else "xn--" + name.encode("punycode").decode()
    plain = "".join(char if char.isalnum() else "-" for char in ascii_name)
    return plain.strip("-")[:63].strip("-") or "guest"


def parse(xml: str) -> etree._Element:
    """Return the root element of a trusted hypervisor's XML (entities and network are off all the same)."""
    return etree.fromstring(xml.encode(), _PARSER)


def find_owner(domain: etree._Element) -> Owner | None:
    """Return the mark of labkit in a domain, or None: it is somebody else's."""
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


def _owner_element(spec: MachineSpec) -> etree._Element:
    attributes = {
        "lab-id": spec.lab_id,
        "lab": spec.lab,
        "image": spec.image,
        "agent": "yes" if spec.agent else "no",
    }
    return _M.machine(**attributes)


def _format(driver: str) -> Format:
    return next((format for format in Format if format.driver == driver), Format.RAW)


def _boot(spec: MachineSpec) -> etree._Element:
    os = _E.os(_E.type("hvm", arch="x86_64", machine="q35"))
    if spec.boot.kernel:
        os.append(_E.kernel(spec.boot.kernel))
        if spec.boot.initramfs:
            os.append(_E.initrd(spec.boot.initramfs))
        os.append(_E.cmdline(identify(spec.boot, spec.name)))
    else:
        os.append(_E.boot(dev="hd"))
    os.append(_E.smbios(mode="sysinfo"))
    return os


def _features(spec: MachineSpec) -> etree._Element:
    features = _E.features(_E.acpi(), _E.apic())
    if spec.accelerator is Accelerator.TCG:
        cache = _E("tb-cache", str(TRANSLATION_BUFFER // MIB), unit="MiB")
        features.append(_E.tcg(cache))
    return features


def _cpu(model: str) -> etree._Element:
    return _E.cpu(_E.model(model, fallback="forbid"), mode="custom", match="exact", check="none")


def _pins(vcpus: int, cpu: int) -> etree._Element:
    return _E.cputune(*(_E.vcpupin(vcpu=str(index), cpuset=str(cpu)) for index in range(vcpus)))


def _repin(domain: etree._Element, vcpus: int) -> None:
    cputune = domain.find("cputune")
    pins = cputune.findall("vcpupin") if cputune is not None else []
    if cputune is None or not pins:
        return
    cpuset = pins[0].get("cpuset", "")
    for pin in pins:
        cputune.remove(pin)
    for index in range(vcpus):
        cputune.append(_E.vcpupin(vcpu=str(index), cpuset=cpuset))


def _devices(spec: MachineSpec) -> etree._Element:
    log = [_E.log(file=spec.console_log, append="off")] if spec.console_log else []
    return _E.devices(
        *(_disk(disk) for disk in spec.disks),
        _E.controller(type="usb", model="none"),
        _E.controller(type="pci", model="pcie-root"),
        *(_E.controller(type="pci", model="pcie-root-port") for _ in range(ROOT_PORTS)),
        _E.controller(type="virtio-serial"),
        _E.serial(*log, _E.target(port="0"), type="pty"),
        *([_agent()] if spec.agent else []),
        _E.memballoon(model="none"),
        *([_E.rng(_E.backend("/dev/urandom", model="random"), model="virtio")] if spec.boot.kernel else []),
        *([_E.panic(model="isa")] if spec.panic_device else []),
    )


def _agent() -> etree._Element:
    return _E.channel(_E.target(type="virtio", name=AGENT_CHANNEL), type="unix")


def build_disk_xml(disk: DiskSpec) -> str:
    """Return the XML of one disk, as attached to a machine."""
    return etree.tostring(_disk(disk), encoding="unicode")


def parse_disk(element: etree._Element) -> DiskSpec:
    """Return the disk of a `<disk>` element; its name in the lab is in its image's file name."""
    target = _attribute(element, "target", "dev")
    if element.get("type") == "network":
        name, socket = _attribute(element, "source", "name"), _attribute(element, "source/host", "socket")
        return DiskSpec(name=name, target=target, path=socket, format=Format.RAW, served=True)
    path = _attribute(element, "source", "file")
    return DiskSpec(
        name=disk_name(path),
        target=target,
        path=path,
        format=_format(_attribute(element, "driver", "type")),
    )


def find_disk_xml(xml: str, target: str) -> str | None:
    """Return the XML of the disk a domain has under a target, or None."""
    for disk in parse(xml).iterfind("devices/disk"):
        if _attribute(disk, "target", "dev") == target:
            return etree.tostring(disk, encoding="unicode")
    return None


def repoint_in_domain_xml(xml: str, spec: DiskSpec) -> str:
    """Return the XML in which a disk is another image; what lies below it is read from its header."""
    domain = parse(xml)
    for disk in domain.iterfind("devices/disk"):
        if _attribute(disk, "target", "dev") == spec.target:
            _child(disk, "source").set("file", spec.path)
            _child(disk, "driver").set("type", spec.format.driver)
            _forget_chain(disk)
    return etree.tostring(domain, encoding="unicode")


def without_backing_chains(xml: str) -> str:
    """Return the XML without what libvirt noted of the layers below each disk: it reads them anew."""
    domain = parse(xml)
    for disk in domain.iterfind("devices/disk"):
        _forget_chain(disk)
    return etree.tostring(domain, encoding="unicode")


def _forget_chain(disk: etree._Element) -> None:
    for chain in disk.findall("backingStore"):
        disk.remove(chain)
    source = disk.find("source")
    if source is not None and "index" in source.attrib:
        del source.attrib["index"]


def _disk(disk: DiskSpec) -> etree._Element:
    if disk.served:
        # While the server is away a request pauses the guest instead of failing; resumed, it is asked again.
        host = _E.host(transport="unix", socket=disk.path)
        return _E.disk(
            _E.driver(
                name="qemu",
                type=disk.format.driver,
                discard="unmap",
                error_policy="stop",
                rerror_policy="stop",
            ),
            _E.source(host, protocol="nbd", name=disk.name),
            _E.target(dev=disk.target, bus="virtio"),
            type="network",
            device="disk",
        )
    return _E.disk(
        _E.driver(name="qemu", type=disk.format.driver, discard="unmap"),
        _E.source(file=disk.path),
        _E.target(dev=disk.target, bus="virtio"),
        type="file",
        device="disk",
    )


def _child(domain: etree._Element, tag: str) -> etree._Element:
    """Return a child that every domain has."""
    return next(domain.iterchildren(tag))


def _text(element: etree._Element, path: str) -> str:
    return element.findtext(path) or ""


def _attribute(element: etree._Element, path: str, name: str) -> str:
    child = element.find(path)
    return "" if child is None else child.get(name, "")


def _kib(domain: etree._Element) -> int:
    memory = _child(domain, "memory")
    factor = {"b": 1 / KIB, "bytes": 1 / KIB, "KiB": 1, "MiB": KIB, "GiB": KIB * KIB}
    return round(int(memory.text or 0) * factor[memory.get("unit", "KiB")])
