"""Definitions whose guests map their memory from a file: text in, text out.

libvirt has no element that names the file, so QEMU gets arguments. They are only in the definition that a guest runs
with; every definition that is stored or sent elsewhere is without them.
Knows: libvirt's domain and snapshot formats. Must not know: connections, what is in the file.
"""

from __future__ import annotations

import re

from lxml import etree

from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.domain_xml.building import QEMU_NAMESPACE
from labkit.model.mapped import MAPPED_NAMES

_LINE, _ARGUMENT = f"{{{QEMU_NAMESPACE}}}commandline", f"{{{QEMU_NAMESPACE}}}arg"
_NAMES = "|".join(map(re.escape, MAPPED_NAMES.values()))
_OBJECT = re.compile(rf"memory-backend-(?:file|ram),id=(?:{_NAMES}),size=(\d+),.*")
_MACHINE = re.compile(rf"memory-backend=({_NAMES})")
_LIKE_ANY_OTHER = "x-use-canonical-path-for-ramblock-id=off"
_OTHERWISE = ("memoryBacking", "maxMemory", "cpu/numa", "devices/memory", "numatune")
"""The elements in which a definition may itself say what kind of memory the guest has."""


def is_mappable(xml: str) -> bool:
    """Return whether a definition leaves the kind of its guest's memory open, so that it can be mapped."""
    domain = parse(xml)
    return not any(domain.findall(path) for path in _OTHERWISE) and not _find_ours(domain)


def map_memory_xml(xml: str, name: str, length: int, pages: str) -> str:
    """Return a definition whose guest maps its memory and waits for the state of its devices.

    Args:
        name: of the memory in the stream with that state. length: bytes. pages: the file, absolute.
    """
    domain = parse(xml)
    line = domain.find(_LINE)
    if line is None:
        line = etree.SubElement(domain, _LINE, nsmap={"qemu": QEMU_NAMESPACE})
    file = f"memory-backend-file,id={name},size={length},mem-path={pages},share=off,{_LIKE_ANY_OTHER}"
    for value in ("-object", file, "-machine", f"memory-backend={name}", "-incoming", "defer"):
        etree.SubElement(line, _ARGUMENT).set("value", value)
    return etree.tostring(domain, encoding="unicode")


def read_memory_xml(xml: str) -> str:
    """Return the definition with which a guest that had its memory mapped goes on by reading it, without the file.

    If nothing is mapped the very same text is returned.
    """
    domain = parse(xml)
    for argument in (ours := _find_ours(domain)):
        value = argument.get("value", "")
        if (found := _OBJECT.fullmatch(value)) is not None:
            name = value.partition("id=")[2].partition(",")[0]
            argument.set("value", f"memory-backend-ram,id={name},size={found[1]},{_LIKE_ANY_OTHER}")
        elif value in ("-incoming", "defer"):
            _remove(argument)
    return etree.tostring(domain, encoding="unicode") if ours else xml


def plain_memory_xml(xml: str) -> str:
    """Return a definition or a snapshot's XML like that of any other guest; the very same text if nothing is mapped."""
    root = parse(xml)
    ours = [argument for domain in _domains(root) for argument in _find_ours(domain)]
    for argument in ours:
        _remove(argument)
    for line in [line for line in root.iter(_LINE) if not len(line)]:
        _remove(line)
    return etree.tostring(root, encoding="unicode") if ours else xml


def _domains(root: etree._Element) -> list[etree._Element]:
    return [root] if root.tag == "domain" else [*root.findall("domain"), *root.findall("inactiveDomain")]


def _find_ours(domain: etree._Element) -> list[etree._Element]:
    """The arguments by which a guest's memory is mapped, each option with its value."""
    arguments = domain.findall(f"{_LINE}/{_ARGUMENT}")
    values = [argument.get("value", "") for argument in arguments]
    pairs = list(zip(arguments, arguments[1:], values, values[1:], strict=False))
    mapped = any(option == "-object" and _OBJECT.fullmatch(value) for _o, _v, option, value in pairs)
    found: list[etree._Element] = []
    for one, other, option, value in pairs if mapped else ():
        ours = {"-object": _OBJECT.fullmatch, "-machine": _MACHINE.fullmatch}.get(option)
        if (ours is not None and ours(value)) or (option, value) == ("-incoming", "defer"):
            found += [one, other]
    return found


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
