"""A machine written as libvirt's domain XML: each element reads as a table.

Values in, text out. Knows: libvirt's domain format. Must not know: connections, plans.
"""

from __future__ import annotations

from lxml import etree
from lxml.builder import ElementMaker

from labkit.hypervisor.domain_xml.parsing import NAMESPACE
from labkit.model.architecture import ARCHITECTURES, X86_64
from labkit.model.disk import bus_of
from labkit.model.machine import Accelerator, Boot, Chipset, DiskSpec, MachineSpec
from labkit.units import KIB, MIB

ROOT_PORTS = 8
"""PCIe root ports from creation, so that disks can be attached to a running guest."""

TRANSLATION_BUFFER = 64 * MIB
"""Bytes of QEMU's TCG translation buffer; its default would grow to 1 GiB for each guest."""

AGENT_CHANNEL = "org.qemu.guest_agent.0"

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

_E = ElementMaker()
_M = ElementMaker(namespace=NAMESPACE, nsmap={"labkit": NAMESPACE})
_Q = ElementMaker(namespace=QEMU_NAMESPACE, nsmap={"qemu": QEMU_NAMESPACE})


def build_domain_xml(spec: MachineSpec) -> str:
    """Return the domain XML of a machine."""
    domain = _E.domain(
        _E.name(spec.domain_name),
        _E.uuid(spec.id),
        *([_E.genid(spec.genid)] if spec.genid else []),
        _E.metadata(_owner_element(spec)),
        _E.memory(str(-(-spec.memory // KIB)), unit="KiB"),
        _E.vcpu(str(spec.vcpus), placement="static"),
        *([_E.cputune(*build_pins(spec.vcpus, str(spec.pinned_to)))] if spec.pinned_to is not None else []),
        _E.sysinfo(_E.system(_E.entry("labkit", name="manufacturer"), _E.entry(spec.id, name="uuid")), type="smbios"),
        _boot(spec),
        _features(spec),
        build_cpu(spec.cpu_model),
        _E.on_poweroff("destroy"),
        _E.on_reboot("restart"),
        _E.on_crash("destroy"),
        _devices(spec),
        *([build_plain_questions()] if spec.accelerator is Accelerator.TCG else []),
        type=domain_type(spec.accelerator),
    )
    return etree.tostring(domain, pretty_print=True, encoding="unicode")


def build_disk_xml(disk: DiskSpec) -> str:
    """Return the XML of one disk, as attached to a machine."""
    return etree.tostring(_disk(disk), encoding="unicode")


def build_cpu(model: str) -> etree._Element:
    """Return the element of a CPU model, exactly as asked for."""
    return _E.cpu(_E.model(model, fallback="forbid"), mode="custom", match="exact", check="none")


def build_pins(vcpus: int, cpuset: str) -> list[etree._Element]:
    """Return the elements that bind every vCPU to the same host CPUs."""
    return [_E.vcpupin(vcpu=str(index), cpuset=cpuset) for index in range(vcpus)]


def domain_type(accelerator: Accelerator) -> str:
    """Return libvirt's word for who runs the instructions."""
    return "kvm" if accelerator is Accelerator.KVM else "qemu"


def identify(boot: Boot, name: str) -> str:
    """Return the kernel's command line, with the machine's name in a form that can be a host name."""
    return f"{boot.command_line} labkit.name={host_name(name)}"


def host_name(name: str) -> str:
    """Return a name as a host name: ASCII letters, digits and hyphens, at most 63."""
    ascii_name = name if name.isascii() else "xn--" + name.encode("punycode").decode()
    plain = "".join(char if char.isalnum() else "-" for char in ascii_name)
    return plain.strip("-")[:63].strip("-") or "guest"


def _owner_element(spec: MachineSpec) -> etree._Element:
    attributes = {
        "lab-id": spec.lab_id,
        "lab": spec.lab,
        "image": spec.image,
        "agent": "yes" if spec.agent else "no",
    }
    return _M.machine(**attributes)


def _boot(spec: MachineSpec) -> etree._Element:
    os = _E.os(_E.type("hvm", arch=spec.architecture, machine=spec.chipset))
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
    features = _E.features(*map(_E, ARCHITECTURES.get(spec.architecture, X86_64).features))
    if spec.accelerator is Accelerator.TCG:
        features.append(build_translation())
    return features


def build_translation() -> etree._Element:
    """Return the element that limits the memory of QEMU's translation of instructions."""
    return _E.tcg(_E("tb-cache", str(TRANSLATION_BUFFER // MIB), unit="MiB"))


def build_plain_questions() -> etree._Element:
    """Return the element by which libvirt asks a new QEMU for all features of its CPU at once, as a bit map.

    Otherwise it asks for each by name: 400 questions, which QEMU reads byte by byte, 0.3 s of CPU time at every start.
    The answers are the same for a translated CPU; a host's CPU has features that are in no bit map.
    """
    return _Q.capabilities(_Q("del", capability="cpu-unavailable-features"))


def _devices(spec: MachineSpec) -> etree._Element:
    log = [_E.log(file=spec.console_log, append="off")] if spec.console_log else []
    return _E.devices(
        *(_disk(disk) for disk in spec.disks),
        _E.controller(type="usb", model="none"),
        *_buses(spec.chipset),
        _E.controller(type="virtio-serial"),
        _E.serial(*log, _E.target(port="0"), type="pty"),
        *([_agent()] if spec.agent else []),
        _E.memballoon(model="none"),
        *([_E.rng(_E.backend("/dev/urandom", model="random"), model="virtio")] if spec.boot.kernel else []),
        *([_E.panic(model="isa")] if spec.panic_device else []),
    )


def _buses(chipset: Chipset) -> list[etree._Element]:
    if chipset is Chipset.PC:
        return [_E.controller(type="pci", model="pci-root")]
    ports = [_E.controller(type="pci", model="pcie-root-port") for _ in range(ROOT_PORTS)]
    return [_E.controller(type="pci", model="pcie-root"), *ports]


def _agent() -> etree._Element:
    return _E.channel(_E.target(type="virtio", name=AGENT_CHANNEL), type="unix")


def _disk(disk: DiskSpec) -> etree._Element:
    if disk.served:
        # While the server is away a request pauses the guest instead of failing; on resuming, it is made again.
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
            _E.target(dev=disk.target, bus=bus_of(disk.target)),
            type="network",
            device="disk",
        )
    return _E.disk(
        _E.driver(name="qemu", type=disk.format.driver, discard="unmap"),
        _E.source(file=disk.path),
        _E.target(dev=disk.target, bus=bus_of(disk.target)),
        type="file",
        device="disk",
    )
