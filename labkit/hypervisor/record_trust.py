"""Whether a recorded definition may be given to libvirt: it may come from anywhere, and is used word for word.

So nothing in it may name a file, a program or a device outside the lab.
Knows: libvirt's domain and snapshot formats, links. Must not know: connections, where the record is kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from lxml import etree

from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.domain_xml.building import QEMU_NAMESPACE
from labkit.hypervisor.domain_xml.parsing import parse_domain
from labkit.language import _
from labkit.model.record import MachineRecord

_DEVICES = ("/dev/urandom", "/dev/random", "/dev/null")
_TERMINALS = "/dev/pts/"
_FILES = ("kernel", "initrd", "dtb", "nvram", "loader", "table")
_FORBIDDEN = ("hostdev", "filesystem", "shmem", "tpm", "smartcard", "redirdev", "vsock", "crypto", "script", "iommu")
_WORDS = ("name", "description", "title", "cmdline")  # elements whose text is never a file
_QEMU_ALLOWED = (f"{{{QEMU_NAMESPACE}}}capabilities", f"{{{QEMU_NAMESPACE}}}del")
_MOST_TEXT = 4 * 1024 * 1024  # characters of one definition


def why_not_trust(machine: MachineRecord, home: str, images: str) -> str:
    """Return why a recorded machine may not be given to libvirt, one sentence, or "".

    Args:
        home: the lab's folder. images: the folder of guest images.
    """
    if not is_readable(machine):
        return _("its definition cannot be read.")
    if not _is_its_own(machine):
        return _("its definition is that of another machine.")
    for text in (machine.xml, *(snapshot.xml for snapshot in machine.snapshots)):
        root = parse(text)
        if strange := next(_find_strange(root, home, images), None):
            return _("its definition names {thing}, which is not the lab's.").format(thing=strange)
    return ""


def why_not_trust_snapshot(xml: str, home: str, images: str) -> str:
    """Return why a recorded snapshot may not be given to libvirt, one sentence, or ""; see `why_not_trust`."""
    root = _read(xml)
    if root is None or not domains_of(root):
        return _("its definition cannot be read.")
    if strange := next(_find_strange(root, home, images), None):
        return _("its definition names {thing}, which is not the lab's.").format(thing=strange)
    return ""


def find_strange_things(xml: str, home: str) -> frozenset[str]:
    """Return what the definition in a memory file names that is not the lab's; its kernel and initramfs are not judged.

    Its emulator is judged: as soon as libvirt reads the file it runs that emulator to ask what it can do, even if
    another one will be used.

    Args:
        home: the lab's folder.

    Raises:
        ValueError: it cannot be read.
    """
    root = _read(xml)
    if root is None:
        raise ValueError("no definition")
    boot = [*root.iterfind("os/kernel"), *root.iterfind("os/initrd")]
    programs = [str(each.text).strip() for each in root.iter("emulator")]
    return frozenset(programs).union(_find_strange(root, home, but=boot))


def are_known(things: frozenset[str], xml: str, home: str) -> bool:
    """Return whether libvirt's own definition of a snapshot names all those strange things too: the user wanted them.

    Devices of the host and the like are recorded only by their kind, so they never count as known.
    """
    try:
        known = find_strange_things(xml, home)
    except ValueError:
        return False
    return things <= known - set(_FORBIDDEN)


def _read(xml: str) -> etree._Element | None:
    """A definition's root element, or None if it cannot be read."""
    try:
        return parse(xml) if len(xml) <= _MOST_TEXT else None
    except (etree.XMLSyntaxError, ValueError):
        return None


def _is_its_own(machine: MachineRecord) -> bool:
    """Whether a record's definition is that of the machine it names; another's would replace that other machine."""
    spec = parse_domain(parse(machine.xml))
    return spec is not None and (spec.id, spec.name, spec.domain_name) == (machine.id, machine.name, machine.domain)


def is_readable(machine: MachineRecord) -> bool:
    """Return whether the XML texts of a recorded machine look like libvirt's."""
    texts = [machine.xml, *(snapshot.xml for snapshot in machine.snapshots)]
    try:
        roots = [parse(text) for text in texts if len(text) <= _MOST_TEXT]
        specs = [parse_domain(domain) for root in roots for domain in domains_of(root)]
    except (etree.XMLSyntaxError, ValueError, KeyError, StopIteration):
        return False
    return len(roots) == len(texts) and len(specs) >= len(texts) and None not in specs


def _find_strange(
    root: etree._Element, home: str, images: str = "", *, but: Sequence[etree._Element] = ()
) -> Iterator[str]:
    """What a definition names outside the lab: files, devices, programs, arguments of the emulator.

    Args:
        but: elements that are not judged; the same name in another element is.
    """
    yield from (str(entity.text) for entity in root.iter(etree.Entity))
    for element in root.iter():
        tag = str(element.tag)
        if any(each.tag == "metadata" for each in element.iterancestors()):
            continue
        if rest := (element.tail or "").strip():
            yield rest  # text in pieces, which libvirt would read as one and never writes itself
        if tag in _WORDS or not isinstance(element.tag, str):
            continue
        if tag.startswith(f"{{{QEMU_NAMESPACE}}}") and tag not in _QEMU_ALLOWED:
            yield " ".join((tag.rpartition("}")[2], *map(str, element.attrib.values())))
        if tag in _FORBIDDEN:
            yield tag
        if tag == "emulator" or _is_chosen_by_libvirt(element) or element in but:
            continue
        values = [str(value).strip() for value in (*element.attrib.values(), element.text or "")]
        yield from (path for path in values if path.startswith("/") and not _is_inside(path, home, images))
        yield from (path for path in _find_relative(element) if not path.startswith("/"))


def _is_inside(path: str, home: str, images: str) -> bool:
    """Whether a path leads, links followed, to a file of the lab, to a guest image or to a harmless device."""
    plain = os.path.normpath(path)
    if plain in _DEVICES or plain.startswith(_TERMINALS):
        return True
    if images and plain.startswith(f"{images}{os.sep}"):
        return True
    return plain.startswith(f"{home}{os.sep}") and os.path.realpath(path).startswith(
        f"{os.path.realpath(home)}{os.sep}"
    )


def _find_relative(element: etree._Element) -> list[str]:
    """The file names in an element that are not absolute although they must be: they could lead anywhere."""
    if element.tag in _FILES:
        return [element.text.strip()] if element.text and element.text.strip() else []
    if element.tag not in ("source", "log") or next(element.iterancestors("interface"), None) is not None:
        return []
    return [path for key in ("file", "dev", "path", "dir", "pool") if (path := (element.get(key) or "").strip())]


def _is_chosen_by_libvirt(element: etree._Element) -> bool:
    """Whether it is the host's end of a channel or serial line, which `drop_what_libvirt_chooses` removes."""
    parent = element.getparent()
    tag = None if parent is None else parent.tag
    return element.tag == "source" and tag in ("channel", "serial", "console")


def drop_what_libvirt_chooses(domain: etree._Element) -> None:
    """Remove emulator, security label, host's ends of channels and serial lines: libvirt chooses them again.

    They are not judged here, so every definition from a lab's folder goes through this before libvirt gets it.
    """
    ends = [source for kind in ("channel", "serial", "console") for source in domain.iterfind(f"devices/{kind}/source")]
    for element in (*domain.findall("devices/emulator"), *domain.findall("seclabel"), *ends):
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)


def domains_of(root: etree._Element) -> list[etree._Element]:
    """Return the `<domain>` elements in a domain's or a snapshot's text."""
    inside = [*root.findall("domain"), *root.findall("inactiveDomain")]
    return [root, *inside] if root.tag == "domain" else inside
