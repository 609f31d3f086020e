"""What a hypervisor says it can do: versions, machine types, features, CPU models.

Reading (`read_capabilities`) is apart from understanding (`parse_capabilities`, `parse_cpu_models`).
Source: https://libvirt.org/formatcaps.html, https://libvirt.org/formatdomaincaps.html.
Knows: libvirt's capability documents. Must not know: who asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lxml import etree

from labkit.model.architecture import X86_64
from labkit.model.machine import Accelerator

if TYPE_CHECKING:
    import libvirt

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a hypervisor offers for guests of our architecture.

    Attributes:
        library, daemon, qemu: versions such as "9.0.0"; "" if not given.
        emulator: path of the QEMU program libvirt would start, or "".
        machine_types: names and aliases, sorted, e.g. "pc-q35-7.2", "q35".
        accelerators: those that libvirt believes usable; it does not try KVM out.
        reverts_external_snapshots: whether libvirt itself can go back to an external snapshot.
    """

    library: str = ""
    daemon: str = ""
    qemu: str = ""
    emulator: str = ""
    machine_types: tuple[str, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()
    reverts_external_snapshots: bool = False


def read_capabilities(connection: libvirt.virConnect) -> Capabilities:
    """Return what the hypervisor says of itself; takes seconds while libvirt's cache is empty.

    Raises:
        libvirt.libvirtError: as libvirt does; the caller translates.
    """
    library, daemon, qemu = read_versions(connection)
    return replace(parse_capabilities(connection.getCapabilities()), library=library, daemon=daemon, qemu=qemu)


def read_versions(connection: libvirt.virConnect) -> tuple[str, str, str]:
    """Return the versions of libvirt's library, of its daemon and of QEMU ("" where there is none)."""
    import libvirt

    try:
        qemu = format_version(connection.getVersion())
    except libvirt.libvirtError:
        qemu = ""  # no emulator is installed
    return format_version(libvirt.getVersion()), format_version(connection.getLibVersion()), qemu


def read_host_id(connection: libvirt.virConnect) -> str:
    """Return the UUID of the host a hypervisor instance says it is on."""
    return _parse(connection.getCapabilities()).findtext("host/uuid") or ""


def read_cpu_models(connection: libvirt.virConnect, accelerator: Accelerator, emulator: str) -> tuple[str, ...]:
    """Return the CPU models a machine may ask for with this accelerator, sorted."""
    kind = "kvm" if accelerator is Accelerator.KVM else "qemu"
    return parse_cpu_models(
        connection.getDomainCapabilities(emulator or None, X86_64.name, X86_64.machine_type, kind, 0)
    )


def parse_capabilities(xml: str) -> Capabilities:
    """Return what a capability document says of guests of our architecture; it contains no versions."""
    root = _parse(xml)
    for guest in root.iterfind("guest"):
        arch = guest.find(f"arch[@name='{X86_64.name}']")
        if guest.findtext("os_type") != "hvm" or arch is None:
            continue
        types = {machine.text for machine in arch.iterfind("machine") if machine.text}
        types |= {canonical for machine in arch.iterfind("machine") if (canonical := machine.get("canonical"))}
        kinds = {domain.get("type") for domain in arch.iterfind("domain")}
        return Capabilities(
            emulator=arch.findtext("emulator") or "",
            machine_types=tuple(sorted(types)),
            accelerators=tuple(
                accelerator
                for kind, accelerator in (("kvm", Accelerator.KVM), ("qemu", Accelerator.TCG))
                if kind in kinds
            ),
            reverts_external_snapshots=guest.find("features/externalSnapshot") is not None,
        )
    return Capabilities()


def parse_cpu_models(xml: str) -> tuple[str, ...]:
    """Return the usable CPU models of a domain capability document, sorted."""
    models = _parse(xml).iterfind("cpu/mode[@name='custom']/model")
    return tuple(sorted(model.text for model in models if model.text and model.get("usable") != "no"))


def format_version(number: int) -> str:
    """Return libvirt's number for a version (major · 1 000 000 + minor · 1000 + release) as text."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _parse(xml: str) -> etree._Element:
    return etree.fromstring(xml.encode(), _PARSER)
