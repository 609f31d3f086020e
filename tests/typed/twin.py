"""A lab at two ends of one act: carried out by labkit, and typed by hand; between the two it is put back as it was.

So both begin with the same paths, names and ids, and what they leave can be compared as it is.
"""

from __future__ import annotations

import difflib
import json
import pprint
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
from lxml import etree

from labkit import Lab
from labkit.model.image import Format
from labkit.plans.plan import Plan
from tests.hashes import hash_file
from tests.plans.foreseen import shape

_FOLDERS = ("disks", "memory", "consoles")
_FILES = ("record.json", "seals.json")
_OF_AN_INSTANT = (".mem", ".log")  # memory, what a console prints: each time another
_SECURE = libvirt.VIR_DOMAIN_XML_SECURE
_MARKS = ("{urn:labkit:act:1}act", "{urn:labkit:said:1}said")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A lab as it was: a copy of its files, the definitions, and what libvirt kept of the snapshots, parents first."""

    folder: Path
    definitions: tuple[str, ...]
    snapshots: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A lab: libvirt's definitions and snapshots, files with what every image holds; and as labkit reads it."""

    definitions: dict[str, str]
    snapshots: dict[str, tuple[str, bool]]
    files: dict[str, Any]
    shape: dict[str, Any]


class Twin:
    """A lab whose machines are off, and its way back to what it was."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder

    def keep(self) -> Kept:
        """Keep all that an act may change."""
        folder = self.folder / "kept"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        there = [str(self.lab.home / name) for name in (*_FOLDERS, *_FILES) if (self.lab.home / name).exists()]
        subprocess.run(["cp", "-a", "--sparse=always", *there, str(folder)], check=True)
        domains = self._domains()
        return Kept(
            folder=folder,
            definitions=tuple(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | _SECURE) for domain in domains),
            snapshots=tuple(
                (domain.name(), snapshot.getXMLDesc(_SECURE), bool(snapshot.isCurrent()))
                for domain in domains
                for snapshot in domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
            ),
        )

    def put_back(self, kept: Kept) -> None:
        """Make the lab what it was."""
        for domain in self._domains():
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            )
        for name in (*_FOLDERS, "images", *_FILES):
            place = self.lab.home / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        for place in self.lab.home.glob("*.xml"):
            place.unlink()
        subprocess.run(["cp", "-a", "--sparse=always", f"{kept.folder}/.", str(self.lab.home)], check=True)
        raw = self._raw()
        for xml in kept.definitions:
            raw.defineXML(xml)
        for name, xml, is_current in kept.snapshots:
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if is_current else 0
            raw.lookupByName(name).snapshotCreateXML(xml, flags)

    def look(self, *, contents: bool) -> Look:
        """Return the lab as it is, with what its images hold or without."""
        domains, read = self._domains(), shape(self.lab.state)
        files = [path for name in _FOLDERS for path in sorted((self.lab.home / name).glob("*")) if _is_content(path)]
        for domain in domains if contents else ():
            if domain.isActive():  # what its QEMU still holds of its images is written when it ends
                domain.destroy()
        return Look(
            definitions={
                domain.name(): _plain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | _SECURE)) for domain in domains
            },
            snapshots={
                f"{domain.name()}@{snapshot.getName()}": (
                    _plain(snapshot.getXMLDesc(_SECURE)), bool(snapshot.isCurrent())
                )
                for domain in domains
                for snapshot in domain.listAllSnapshots()
            },
            files={str(path.relative_to(self.lab.home)): _look_at(path, contents=contents) for path in files},
            shape=read,
        )  # fmt: skip

    def start_paused(self, machine: str) -> None:
        """Switch a machine on whose guest executes nothing."""
        domain = self._raw().lookupByUUIDString(self.lab.machines[machine].id)
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def compare(self, make: Callable[[], Plan], put_back: Callable[[], None], *, contents: bool = True) -> Plan:
        """Carry a plan out, put the lab back, type its commands: both must leave the same. Returns the plan.

        Args:
            put_back: makes the lab what it is now. contents: whether what images hold counts: no guest writes.
        """
        plan = make()
        assert plan.refusal is None, plan
        assert plan.steps, plan
        self.lab.carry_out(plan)
        done = self.look(contents=contents)
        put_back()
        self.type(plan)
        typed = self.look(contents=contents)
        for part in ("files", "definitions", "snapshots", "shape"):
            differences = [*_differences(getattr(done, part), getattr(typed, part))]
            assert not differences, "\n".join((f"{part}, done and typed:", *differences, *plan.commands))
        return plan

    def type(self, plan: Plan) -> None:
        """Write what the commands read and type them, in order, in the lab's folder."""
        text = " ".join(plan.commands)
        made = set(re.findall(r"(?<= > )[^\s'=]+\.xml", text))
        read = set(re.findall(r"[^\s'=]+\.xml", text)) - made
        assert {name for name in plan.write(self.lab.home) if name.endswith(".xml")} >= read
        script = "\n".join(plan.commands)
        done = subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail"],
            input=script, cwd=self.lab.home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"

    def _raw(self) -> libvirt.virConnect:
        return libvirt.open("qemu:///session")

    def _domains(self) -> list[libvirt.virDomain]:
        mine = f'lab-id="{self.lab.state.lab_id}"'
        return [
            domain
            for domain in sorted(self._raw().listAllDomains(), key=lambda domain: str(domain.name()))
            if mine in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace("'", '"')
        ]


def _differences(done: dict[str, Any], typed: dict[str, Any]) -> Iterator[str]:
    """Yield what differs, line by line, under its name."""
    for name in sorted({*typed, *done}):
        one, other = done.get(name), typed.get(name)
        if one != other:
            yield name
            yield from difflib.unified_diff(_lines(one), _lines(other), n=0, lineterm="")


def _lines(value: object) -> list[str]:
    texts = value if isinstance(value, tuple) else (value,)
    return [line for text in texts for line in (text if isinstance(text, str) else pprint.pformat(text)).splitlines()]


def _is_content(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix != ".json"


def _plain(xml: str) -> str:
    """Return a text of libvirt's without what tells who acted, when, and what a console said then."""
    root = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    for mark in [*root.iter(*_MARKS)]:
        parent = mark.getparent()
        assert parent is not None
        parent.remove(mark)
    for time in root.findall("creationTime"):
        root.remove(time)
    if root.find("inactiveDomain") is not None:  # a guest that went on from memory has got another generation id
        for live in root.findall("domain/genid"):
            live.text = "another each time"
    return etree.tostring(root, pretty_print=True, encoding="unicode")


def _look_at(path: Path, *, contents: bool) -> dict[str, Any]:
    """Return what is to be the same of a file: who may write it, whether the host gave it all; what a guest reads."""
    info = path.stat()
    format = next((each for each in Format if path.suffix == f".{each}"), None)
    counts = contents and path.suffix not in _OF_AN_INSTANT
    told = _read_header(path, format) if format and not path.stem.endswith("-flat") else {}
    return {
        "is open": bool(info.st_mode & 0o200),
        "is full": info.st_blocks * 512 >= info.st_size,
        "content": (_find_content(path, told) if told else hash_file(path)) if counts else None,
        "header": {name: told.get(name) for name in ("virtual-size", "backing-filename", "backing-filename-format")},
    }


_headers: dict[tuple[str, Format], dict[str, Any]] = {}
_contents: dict[tuple[str, ...], str] = {}
"""What was read before of files with the same bytes: an act changes few."""


def _read_header(path: Path, format: Format) -> dict[str, Any]:
    key = (hash_file(path), format)
    if key not in _headers:
        argv = ["qemu-img", "info", "-U", "--output=json", "-f", format.driver, str(path)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        _headers[key] = json.loads(done.stdout)
    return _headers[key]


def _find_content(path: Path, told: dict[str, Any]) -> str:
    """Return the hash of what a guest reads in an image, all that is below it included."""
    key = (*_layers(path, told), *map(hash_file, path.parent.glob(f"{path.stem}-flat.*")))
    if key not in _contents:
        raw = path.parent / f".{path.name}.raw"
        subprocess.run(["qemu-img", "convert", "-U", "-f", told["format"], "-O", "raw", path, raw], check=True)
        _contents[key] = hash_file(raw)
        raw.unlink()
    return _contents[key]


def _layers(path: Path, told: dict[str, Any]) -> Iterator[str]:
    """Yield the hash of the bytes of an image and of all below it."""
    yield hash_file(path)
    if below := told.get("backing-filename"):
        backing = path.parent / below
        format = next(each for each in Format if each.driver == told["backing-filename-format"])
        yield from _layers(backing, _read_header(backing, format))
