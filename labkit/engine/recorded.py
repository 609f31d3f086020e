"""What a reading of the lab takes from the record: what the hypervisor no longer knows, and what images were made for.

The record is needed at each reading and seldom changes, so results are cached until its file changes.
Knows: the record's file. Must not know: who writes it, how a machine is brought back (`returning.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.engine.record_file import read_record, record_file
from labkit.errors import LabError
from labkit.model.record import LabRecord, LostPoint, LostSnapshot, MadeFor
from labkit.model.snapshot import SnapshotTree


def list_lost_points(record: LabRecord, known: Iterable[str] = ()) -> dict[str, LostPoint]:
    """Return what a record says of images that the hypervisor has forgotten, by absolute path.

    Args:
        known: the ids of the machines that the hypervisor knows.
    """
    from labkit.hypervisor.recording import find_lost_images, find_lost_points

    points: dict[str, LostPoint] = {}
    for lost in record.lost:
        points |= find_lost_points(lost)
    ids = set(known)
    for machine in record.machines:
        if machine.id not in ids:
            points |= find_lost_images(machine)
    return points


def find_forgotten(
    home: Path, images: Path, trees: Mapping[str, SnapshotTree], busy: Container[str]
) -> Mapping[str, LostPoint]:
    """Return what the record says of images of snapshots that another program made libvirt forget, by path.

    This includes snapshots that the record still has with their machine, since no act has followed their vanishing.

    Args:
        images: the folder of guest images here. trees: the snapshots that libvirt knows, by machine id.
        busy: the names of the machines that acts in the journal are about, which may forget snapshots on purpose.
    """
    path = record_file(home)
    try:
        info = path.stat()
        recorded = _read_snapshots(path, (info.st_ino, info.st_mtime_ns, info.st_size))
    except (OSError, LabError):
        return {}
    points: dict[str, LostPoint] = {}
    for lost, identity, kept in recorded:
        tree = trees.get(lost.machine_id)
        known = tree is None or lost.machine in busy or any(node.identity == identity for node in tree.values())
        if identity is None or not known:
            points |= kept
    whys = {point.xml: _why_not_trusted(point.xml, str(home), str(images)) for point in points.values()}
    return {image: replace(point, why_not_trusted=whys[point.xml]) for image, point in points.items()}


@functools.lru_cache(maxsize=16)
def _read_snapshots(
    path: Path, _version: tuple[int, int, int]
) -> tuple[tuple[LostSnapshot, object, Mapping[str, LostPoint]], ...]:
    """The snapshots in a record, machine by machine, then the lost ones, which have None as identity."""
    from labkit.hypervisor.recording import find_lost_points, read_facts

    record = read_record(path.parent)
    if record is None:
        return ()
    found: list[tuple[LostSnapshot, object, Mapping[str, LostPoint]]] = []
    for machine in record.machines:
        for snapshot in machine.snapshots:
            lost = LostSnapshot(machine_id=machine.id, machine=machine.name, record=snapshot)
            if facts := read_facts(snapshot):
                found.append((lost, facts.identity, find_lost_points(lost)))
    return (*found, *((lost, None, find_lost_points(lost)) for lost in record.lost))


@functools.lru_cache(maxsize=1000)
def _why_not_trusted(xml: str, home: str, images: str) -> str:
    from labkit.hypervisor.record_trust import why_not_trust_snapshot

    return why_not_trust_snapshot(xml, home, images)


def find_unreturned(home: Path, known: frozenset[str]) -> Mapping[str, str]:
    """Return the files of machines that the record knows and no hypervisor does: the machine's name by path.

    Args:
        known: the ids of the machines that are known.
    """
    path = record_file(home)
    try:
        info = path.stat()
        return _find_unreturned(path, (info.st_ino, info.st_mtime_ns, info.st_size), known)
    except (OSError, LabError):
        return {}


@functools.lru_cache(maxsize=16)
def _find_unreturned(path: Path, _version: tuple[int, int, int], known: frozenset[str]) -> Mapping[str, str]:
    from labkit.hypervisor.recording import find_files

    record = read_record(path.parent)
    gone = [machine for machine in record.machines if machine.id not in known] if record else []
    return {file: machine.name for machine in gone for file in find_files(machine)}


def find_recorded(home: Path) -> frozenset[str]:
    """Return the absolute paths of the images and memory files that a lab's record names, existing or not."""
    path = record_file(home)
    try:
        info = path.stat()
        return _find_recorded(path, (info.st_ino, info.st_mtime_ns, info.st_size))
    except (OSError, LabError):
        return frozenset()


@functools.lru_cache(maxsize=16)  # needed at each reading, and seldom changes
def _find_recorded(path: Path, _version: tuple[int, int, int]) -> frozenset[str]:
    record = read_record(path.parent)
    if record is None:
        return frozenset()
    points = list_lost_points(record)
    memories = {point.memory for point in points.values() if point.memory}
    return frozenset({*points, *memories, *(str(path.parent / name) for name in record.made)})


def find_made(home: Path) -> Mapping[str, MadeFor]:
    """Return what the images in a lab's folder were made for, as the record says, by absolute path."""
    path = record_file(home)
    try:
        info = path.stat()
        return _find_made(path, (info.st_ino, info.st_mtime_ns, info.st_size))
    except (OSError, LabError):
        return {}


@functools.lru_cache(maxsize=16)
def _find_made(path: Path, _version: tuple[int, int, int]) -> Mapping[str, MadeFor]:
    record = read_record(path.parent)
    return {str(path.parent / name): made for name, made in record.made.items()} if record else {}
