"""Mutants of the small files that labkit reads: journal, seals, identity, record, guest images. Run as a child."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit.engine import journal, seals
from labkit.engine.place import Place, find_standing
from labkit.engine.record_file import read_record, record_file, write_record
from labkit.engine.workspace import open_workspace
from labkit.hypervisor.record_trust import is_readable
from labkit.hypervisor.record_xml import find_boot_files
from labkit.model.record import DiskMark, LabRecord, MachineRecord, MadeFor, SavedMemory
from labkit.model.travel import SnapshotRecord
from labkit.plans.creation import plan_create
from labkit.plans.plan import Plan
from labkit.storage.guest_images import read_guest_images
from tests.corpus.cage import try_all
from tests.corpus.mutants import drawing, mutate_bytes, mutate_json, write_json
from tests.plans.states import SURVEY, lab, request

_IMAGE = {
    "name": "mini",
    "kernel": "blobs/kernel",
    "initramfs": None,
    "command_line": "quiet",
    "disk": {"file": "blobs/disk.raw", "format": "raw", "capacity": 1 << 20},
    "minimum_memory": 1 << 20,
    "agent": False,
    "message": {"offset": 4, "length": 8},
}


def main(folder: Path, count: int) -> None:
    """Try so many of each."""
    for name, make in KINDS.items():
        place = folder / name
        place.mkdir()
        try_all(name, make(place, count))


def _journal(folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    record = journal.Record(folder, plan_create(lab(), SURVEY, request()))
    record.step_done(0)
    sound = record.path.read_bytes()
    first = json.loads(sound.splitlines()[0][sound.index(b"{") :])
    for number in range(count):
        draw = drawing(number)
        text = mutate_bytes(sound, draw, head=len(sound))
        if draw.random() < 0.7:
            text = write_json(mutate_json(first, draw), draw) + b"\n" + sound.splitlines()[1] * draw.choice((0, 1, 50))
        yield _writing(f"journal {number}", record.path, text, lambda: _look(journal.find_entries(folder)))
    for name, text in _large().items():
        yield _writing(f"journal {name}", record.path, text, lambda: _look(journal.find_entries(folder)))
    yield _growing("journal without end", record.path, lambda: _look(journal.find_entries(folder)))


def _look(paths: list[Path]) -> None:
    for path in paths:
        entry = journal.read_entry(path)
        assert entry is None or isinstance(entry.plan, Plan)
        assert entry is None or all(
            type(file) is str for file in (*entry.plan.files.created, *entry.plan.files.deleted)
        )


def _seals(folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    disks, place = folder / "disks", folder / "seals.json"
    disks.mkdir()
    image = disks / "web.vda.0.raw"
    image.write_bytes(b"frozen")
    seals.seal([str(image)])
    sound = place.read_bytes()

    def act() -> None:
        for seal in seals.find_seals(disks).values():
            assert {type(seal.size), type(seal.mtime_ns)} == {int}
        seals.are_torn(disks)
        seals.find_changed(disks, [str(image), str(disks / "gone.raw")])

    for number in range(count):
        draw = drawing(number)
        yield _writing(f"seals {number}", place, write_json(mutate_json(json.loads(sound), draw), draw), act)
    for name, text in _large().items():
        yield _writing(f"seals {name}", place, text, act)
    yield _growing("seals without end", place, act)


def _identity(folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    open_workspace("lab", folder)
    place = folder / "lab" / "lab.json"
    sound = json.loads(place.read_text())

    def act() -> None:
        assert type(open_workspace("lab", folder).id) is str

    for number in range(count):
        draw = drawing(number)
        yield _writing(f"identity {number}", place, write_json(mutate_json(sound, draw), draw), act)
    for name, text in _large().items():
        yield _writing(f"identity {name}", place, text, act)
    yield _growing("identity without end", place, act)


def _record(folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    point = SnapshotRecord(
        name="clean", parent=None, xml="<domainsnapshot><name>clean</name></domainsnapshot>", current=True
    )
    mark = DiskMark(size=1, mtime_ns=2, sha256="0" * 64)
    machine = MachineRecord(
        id="6f6f4c0e-0000-4000-8000-000000000001", name="web", domain="lab.web",
        xml="<domain><name>lab.web</name></domain>",
        snapshots=(point,), saved=SavedMemory(in_folder=True, disks={"web.vda.0.raw": mark}),
    )  # fmt: skip
    write_record(
        folder,
        LabRecord(
            lab_id=machine.id,
            home=str(folder),
            machines=(machine,),
            made={"disks/web.vda.0.raw": MadeFor(disk="web.vda", machine="web")},
        ),
    )
    place = record_file(folder)
    whole = place.read_bytes()
    sound = json.loads(whole)

    def act() -> None:
        record = read_record(folder)
        assert record is not None
        assert {type(record.lab_id), type(record.home)} == {str}
        for each in record.machines:
            assert {type(each.id), type(each.name), type(each.domain), type(each.xml)} == {str}
            if is_readable(each):
                find_boot_files(each)
        find_standing(folder, Place(id=record.lab_id, path=record.home))

    for number in range(count):
        draw = drawing(number)
        text = mutate_bytes(whole, draw) if draw.random() < 0.2 else write_json(mutate_json(sound, draw), draw)
        yield _writing(f"record {number}", place, text, act)
    for name, text in _large().items():
        yield _writing(f"record {name}", place, text, act)
    yield _growing("record without end", place, act)


def _images(folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    (folder / "blobs").mkdir()
    (folder / "blobs" / "kernel").write_bytes(b"kernel")
    (folder / "blobs" / "disk.raw").write_bytes(bytes(1 << 20))
    place = folder / "mini.json"

    def act() -> None:
        for image in read_guest_images(folder).values():
            assert image.disk.startswith(f"{folder}/")
            assert image.capacity in range(1, 2**50)

    for number in range(count):
        draw = drawing(number)
        yield _writing(f"guest image {number}", place, write_json(mutate_json(_IMAGE, draw), draw), act)
    for name, text in _large().items():
        yield _writing(f"guest image {name}", place, text, act)
    yield _growing("guest image without end", place, act)


KINDS = {
    "journal": _journal,
    "seals": _seals,
    "identity": _identity,
    "record": _record,
    "guest image": _images,
}


def _large() -> dict[str, bytes]:
    """Texts that are long in one way each."""
    many = 8 * 1024 * 1024
    return {
        "of brackets": b"[" * many,
        "of lists": b"[" + b"[]," * (many // 3) + b"0]",
        "of digits": b"1" * many,
        "of quotes": b'"' * many,
        "of escapes": b'"' + b'\\"' * (many // 2),
        "of one text": b'{"act": "' + b"x" * many + b'"}',
        "of a text for a list": b'{"names": "' + b"x" * many + b'", "steps": "' + b"x" * many + b'"}',
        "of keys": b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}",
        "of lines": b"{}\n" * (many // 3),
    }


def _writing(what: str, place: Path, text: bytes, act: Callable[[], object]) -> tuple[str, Callable[[], object]]:
    """The act on a file with a text; it must not be changed by being read, unless its seals heal."""

    def go() -> None:
        place.write_bytes(text)
        try:
            act()
        finally:
            if place.name != "seals.json":
                assert hashlib.sha256(place.read_bytes()).digest() == hashlib.sha256(text).digest(), "it was changed"

    return what, go


def _growing(what: str, place: Path, act: Callable[[], object]) -> tuple[str, Callable[[], object]]:
    """The act on a file of a tebibyte of which nothing was ever written."""

    def go() -> None:
        place.write_bytes(b"")
        os.truncate(place, 1 << 40)
        act()

    return what, go


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
