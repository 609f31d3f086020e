"""Kinds of machines: two are of one kind if they look the same to QEMU, so that one can go on from the other's memory.

Everything in a definition counts except names, ids and the paths of files. Of the files of a guest image the names
count, since they are hashes of the contents. What runs the guest counts, too: libvirt, the very QEMU program and, under
KVM, the host's CPU. QEMU itself would notice few of these differences.
Knows: libvirt's domain format. Must not know: what is kept of a kind, where.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

import libvirt
from lxml import etree

from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse
from labkit.model.kept import BlankDisk

_FORM = 2
"""Counted up when what is kept of a guest changes."""

_DIGITS = 12
"""So many digits of a kind's name say what the machine is, the others what runs it."""

_OWN = ("name", "uuid", "title", "description", "metadata", "seclabel")
"""The elements that say which machine it is."""

_WHAT_RUNS_IT = ("devices/emulator",)
"""The elements that name a program of this host."""

_CHOSEN = ("devices/channel/source", "devices/serial/source", "devices/console/source", "devices/interface/mac")
"""The elements that libvirt itself chooses for each machine."""

_WITH_FILE = ("devices/serial/log", "devices/console/log", "devices/disk/source")
"""The elements that name a file of this machine alone."""

_OWN_WORDS = ("labkit.name=", "labkit.identity=")
"""How the words of a kernel's command line begin that say which machine it is."""

_CPU = ("vendor_id", "model name", "flags", "Features", "CPU part")
"""How the lines of /proc/cpuinfo begin that tell CPUs apart."""


def find_kind(connection: Connection, xml: str, disk: str, blanks: Iterable[BlankDisk]) -> str:
    """Return the kind of a machine, as the name of a folder; it begins with what the machine itself is.

    Args:
        xml: its persistent definition. disk: the file of the guest image that its first disk is a copy of.
        blanks: its further disks.
    """
    emulator = parse(xml).findtext("devices/emulator") or ""
    machine = {
        "form": _FORM,
        "definition": strip_identity(xml),
        "disk": posixpath.basename(disk),
        "blanks": [[each.target, each.format, each.capacity] for each in blanks],
    }
    runs_it = {
        "versions": connection.read(_read_versions),
        "emulator": [emulator, *_read_build(emulator)],
        "cpu": _read_cpu() if parse(xml).get("type") == "kvm" else "",
    }
    return _digest(machine) + _digest(runs_it)


def machine_part(kind: str) -> str:
    """Return of a kind's name what says which machine it is, whatever runs it."""
    return kind[:_DIGITS]


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def strip_identity(xml: str) -> str:
    """Return a definition without what distinguishes machines of one kind, and without what runs them."""
    domain = parse(xml)
    for element in [each for path in (*_OWN, *_WHAT_RUNS_IT, *_CHOSEN) for each in domain.findall(path)]:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
    for element in [*domain.findall("genid"), *domain.findall("sysinfo/system/entry[@name='uuid']")]:
        element.text = ""  # that there is one counts
    for element in [each for path in _WITH_FILE for each in domain.findall(path)]:
        element.attrib.pop("file", None)
    for element in (*domain.findall("os/kernel"), *domain.findall("os/initrd")):
        element.text = posixpath.basename(element.text or "")
    for line in domain.findall("os/cmdline"):
        line.text = " ".join(word for word in (line.text or "").split() if not word.startswith(_OWN_WORDS))
    for element in domain.iter():
        element.text = (element.text or "").strip()
        element.tail = None
    return etree.tostring(domain, method="c14n").decode()


def without_owner(xml: str) -> str:
    """Return a definition that belongs to no lab."""
    domain = parse(xml)
    for element in domain.findall("metadata"):
        domain.remove(element)
    return etree.tostring(domain, encoding="unicode")


def _read_versions(raw: libvirt.virConnect) -> list[int]:
    return [raw.getLibVersion(), raw.getVersion()]


def _read_build(emulator: str) -> list[object]:
    """What tells one build of an emulator from another."""
    try:
        info = os.stat(emulator)
    except OSError:
        return [emulator]
    return [os.path.realpath(emulator), info.st_size, info.st_mtime_ns]


def _read_cpu() -> str:
    """What tells one host's CPU from another."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    first = text.split("\n\n", 1)[0]
    return "\n".join(line for line in first.splitlines() if line.partition("\t")[0].strip().startswith(_CPU))
