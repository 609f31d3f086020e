"""A definition from elsewhere made ours: rebuilt from values, taking only the hardware from its text.

A definition can name any file, program or device of the host. So nothing of its text is used except what matches the
patterns here: which PC it is, where on its buses the devices are, what its CPU can do. A guest that goes on from its
memory must find all that unchanged. Text in, text out. Knows: libvirt's domain format. Must not know: connections,
plans, archives.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from lxml import etree
from lxml.builder import ElementMaker

from labkit.hypervisor.domain_xml.building import build_domain_xml
from labkit.hypervisor.domain_xml.parsing import get_attribute, get_child, parse, parse_domain
from labkit.model.architecture import ARCHITECTURES
from labkit.model.machine import MachineSpec
from labkit.model.snapshot import SnapshotKind

_E = ElementMaker()
_MACHINE_TYPE = re.compile(r"(pc-)?(q35|i440fx)(-\d{1,2}\.\d{1,2})?|pc|q35")
_FEATURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")
_VALUE = re.compile(r"[a-z0-9][a-z0-9-]{0,24}")
_ADDRESS = ("type", "domain", "bus", "slot", "function", "multifunction", "controller", "port", "target", "unit")
_CONTROLLERS = ("usb", "pci", "virtio-serial", "sata", "ide")
_STATES = {
    SnapshotKind.OFF: "shutoff",
    SnapshotKind.RUNNING: "running",
    SnapshotKind.PAUSED: "paused",
    SnapshotKind.DISK_ONLY: "disk-snapshot",
}
_LONGEST = 1024 * 1024
_MOST_CONTROLLERS = 64
_INDEX = re.compile(r"\d{1,2}")  # libvirt makes all controllers up to the highest index
_MOST_FEATURES = 1000


def read_foreign(xml: str) -> MachineSpec:
    """Return the machine that a definition from elsewhere describes.

    Raises:
        ValueError: it does not describe a machine of labkit, or is not a definition.
    """
    spec = parse_domain(_parse(xml))
    if spec is None:
        raise ValueError("not a machine of labkit")
    if spec.architecture not in ARCHITECTURES:
        raise ValueError("for another kind of computer")
    return spec


def adopt_domain_xml(xml: str, spec: MachineSpec, *, tag: str = "domain") -> str:
    """Return the definition of a machine of ours, with the hardware of a definition from elsewhere.

    Args:
        spec: everything else: names, ids, files. tag: the name of the element to return.

    Raises:
        ValueError: it is not a definition.
    """
    foreign, ours = _parse(xml), parse(build_domain_xml(spec))
    machine_type = get_attribute(foreign, "os/type", "machine")
    if _MACHINE_TYPE.fullmatch(machine_type):
        get_child(get_child(ours, "os"), "type").set("machine", machine_type)
    _adopt_cpu(foreign, ours)
    devices, theirs = get_child(ours, "devices"), foreign.find("devices")
    if theirs is None:
        raise ValueError("no devices")
    _adopt_controllers(theirs, devices)
    _adopt_addresses(theirs, devices, "disk", lambda disk: get_attribute(disk, "target", "dev"))
    for kind in ("channel", "rng"):
        _adopt_addresses(theirs, devices, kind, lambda _device: "")
    ours.tag = tag
    return etree.tostring(ours, encoding="unicode")


def adopt_cookie(cookie: str) -> str:
    """Return only the CPU from what libvirt keeps beside a saved memory (the cookie); "" if it has none.

    Raises:
        ValueError: it is not a cookie.
    """
    if not cookie:
        return ""
    foreign, ours = _parse(cookie), _E.cookie()
    _adopt_cpu(foreign, ours)
    return etree.tostring(ours, encoding="unicode") if len(ours) else ""


def build_adopted_snapshot(
    *,
    name: str,
    description: str,
    parent: str | None,
    created: int,
    kind: SnapshotKind,
    memory: str | None,
    domain: str,
    inactive: str,
    spec: MachineSpec,
) -> str:
    """Return the XML with which libvirt is told of a snapshot from elsewhere, to keep as if it had taken it itself.

    Args:
        domain, inactive: definitions from `adopt_domain_xml`: as it ran, and as it was configured. spec: that of
            `inactive`.
    """
    snapshot = _E.domainsnapshot(
        _E.name(name),
        _E.state(_STATES[kind]),
        _E.description(description),
        *([_E.parent(_E.name(parent))] if parent is not None else []),
        _E.creationTime(str(created)),
        _E.memory(snapshot="external", file=memory) if memory else _E.memory(snapshot="no"),
        _E.disks(
            *(
                _E.disk(
                    _E.driver(type=disk.format.driver),
                    _E.source(file=disk.path),
                    name=disk.target,
                    snapshot="external",
                    type="file",
                )
                for disk in spec.disks
            )
        ),
        parse(domain),
        parse(inactive),
    )
    return etree.tostring(snapshot, encoding="unicode")


def _parse(xml: str) -> etree._Element:
    if len(xml) > _LONGEST or "<!" in xml:
        raise ValueError("no plain definition")
    try:
        return parse(xml)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


def _adopt_cpu(foreign: etree._Element, ours: etree._Element) -> None:
    theirs = foreign.find("cpu")
    model = theirs.findtext("model") if theirs is not None else None
    if theirs is None or not model or not _FEATURE.fullmatch(model.lower()):
        return
    cpu = _E.cpu(_E.model(model, fallback="forbid"), mode="custom", match="exact")
    cpu.set("check", "full" if theirs.get("check") == "full" else "none")
    for feature in itertools.islice(theirs.iterfind("feature"), _MOST_FEATURES):
        name, policy = feature.get("name", ""), feature.get("policy", "")
        if _FEATURE.fullmatch(name) and policy in ("require", "disable"):
            cpu.append(_E.feature(policy=policy, name=name))
    old = ours.find("cpu")
    if old is not None:
        ours.replace(old, cpu)
    else:
        ours.append(cpu)


def _adopt_controllers(theirs: etree._Element, devices: etree._Element) -> None:
    found = [controller for controller in theirs.iterfind("controller") if controller.get("type") in _CONTROLLERS]
    if not found:
        return
    if len(found) > _MOST_CONTROLLERS or not all(_INDEX.fullmatch(each.get("index", "0")) for each in found):
        raise ValueError("impossible controllers")
    for controller in devices.findall("controller"):
        devices.remove(controller)
    for controller in found:
        ours = _copy(controller, ("type", "index", "model"))
        for child in controller:
            if child.tag == "address":
                ours.append(_copy(child, _ADDRESS))
            elif child.tag in ("model", "target"):
                ours.append(_copy(child, ("name", "chassis", "port", "chassisNr")))
        devices.append(ours)


def _adopt_addresses(
    theirs: etree._Element, devices: etree._Element, kind: str, key: Callable[[etree._Element], str]
) -> None:
    known = {key(device): device.find("address") for device in theirs.iterfind(kind)}
    for device in devices.iterfind(kind):
        address = known.get(key(device))
        if address is not None and device.find("address") is None:
            device.append(_copy(address, _ADDRESS))


def _copy(element: etree._Element, attributes: tuple[str, ...]) -> etree._Element:
    copy = etree.Element(str(element.tag))
    for name in attributes:
        value = element.get(name)
        if value is not None and _VALUE.fullmatch(value):
            copy.set(name, value)
    return copy
