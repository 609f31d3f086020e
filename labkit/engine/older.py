"""A folder that was brought back from a backup: the user is told, and its record is put aside until somebody uses it.

libvirt may know a newer state, whose images are not in the folder; or an older one, after two backups were brought back
in turn: then its active images are frozen in the folder. Both may happen while a lab is open, so this is asked again
whenever the record is not the one last seen.
Knows: the record, definitions. Must not know: who opens the lab, who acts.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.engine.journal import read_entries
from labkit.engine.locks import find_busy
from labkit.engine.place import command
from labkit.engine.record_file import read_record, read_writer, write_record
from labkit.engine.seals import find_seals
from labkit.engine.workspace import Workspace
from labkit.errors import HostTrouble, LabError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.record_trust import is_readable
from labkit.hypervisor.recording import active_images, find_lost_images, is_alike, read_machines
from labkit.language import _
from labkit.model.record import LabRecord, LostPoint, MachineRecord
from labkit.storage.headers import read_folder
from labkit.storage.whole_files import free_name


def put_aside_older(workspace: Workspace, connection: Connection, *, beside: bool = False) -> list[str]:
    """Put aside the record if it is of another state than libvirt's; returns a sentence for each machine it is about.

    Only machines whose images are all there are in it: those it could bring back.

    Args:
        beside: whether other kernels may be at work; the machines that their acts are about are left out, since their
            record is written at the end of the act.
    """
    home = workspace.home
    with contextlib.suppress(LabError):  # that a record cannot be read is said where it is needed
        record = read_record(home)
        if not record or not record.machines or record.writer not in ("", read_writer(workspace.locks, connection.uri)):
            return []  # what was done on another computer since counts (`returning.py`)
        known = read_machines(connection, workspace.id)
        busy = _find_busy(workspace) if beside else frozenset()
        both = [(each, known[each.id]) for each in record.machines if each.id in known and each.name not in busy]
        below = _find_below(workspace, both)
        told = {then.id: sentence for then, now in both if (sentence := _compare(home, then, now, below))}
        if not told:
            return []
        record = replace(record, machines=tuple(each for each in record.machines if each.id in told))
        if not any(other == record for _path, other in read_older(workspace)):
            write_record(home, record, free_name(home / "record.json", "older").name)
        return [*told.values()]
    return []


def _find_busy(workspace: Workspace) -> frozenset[str]:
    """The names of the machines that somebody is just at work on."""
    plans = [entry.plan for entry in read_entries(workspace.journal)]
    return frozenset(name for plan in plans if find_busy(workspace.locks, plan.locks) for name in plan.names)


def _compare(home: Path, folder: MachineRecord, known: MachineRecord, below: frozenset[str]) -> str:
    """A sentence if libvirt knows a machine in another state than its folder does; "" if in the same."""
    gone = _find_gone(known) - _find_gone(folder)
    frozen = set(active_images(known)) & (below | find_lost_images(folder).keys()) - set(active_images(folder))
    if not _is_whole(folder) or not (gone or frozen):
        return ""
    if gone:
        sentence = _(
            "libvirt's definition of {machine} names {image}, which is not in the folder: an older folder was brought "
            "back. libvirt's definition holds; {command} takes the folder's own record."
        )
    else:
        sentence = _(
            "libvirt's definition of {machine} names {image}, which is frozen in the folder: a newer folder was "
            "brought back. libvirt's definition holds; {command} takes the folder's own record."
        )
    image = os.path.basename(min(gone or frozen))
    return sentence.format(machine=known.name, image=image, command=command("restore", home))


def _find_below(workspace: Workspace, both: list[tuple[MachineRecord, MachineRecord]]) -> frozenset[str]:
    """The images in the folder that others stand on; looked up only if libvirt and the record differ at all."""
    if all(is_alike(then, now) for then, now in both):
        return frozenset()
    return frozenset(image.backing for image in read_folder(workspace.disks).values() if image.backing)


def read_older(workspace: Workspace) -> Iterator[tuple[Path, LabRecord | None]]:
    """Yield the records put aside for a lab, the latest first, with their files; None for one that cannot be read."""
    aside = [(path.lstat().st_mtime_ns, path) for path in workspace.home.glob("record.json.*.older")]
    for _age, path in sorted(aside, reverse=True):
        try:
            record = read_record(workspace.home, path.name)
        except LabError:
            record = None
        yield path, record if record and all(map(is_readable, record.machines)) else None


def drop_older(workspace: Workspace) -> None:
    """Remove the records put aside: the lab was cleaned, and later images may have the names that they name."""
    for path, _record in list(read_older(workspace)):
        with contextlib.suppress(OSError):  # it can be used, or removed, by hand
            path.unlink()


def find_aside(workspace: Workspace) -> Mapping[str, LostPoint]:
    """Return what the records put aside say of images, by path; these images are kept as long as the records."""
    versions = []
    for path in sorted(workspace.home.glob("record.json.*.older")):
        with contextlib.suppress(FileNotFoundError):  # it is just being used
            versions.append((path, path.lstat().st_mtime_ns))
    return _find_aside(workspace, tuple(versions))


@functools.lru_cache(maxsize=16)  # needed at each reading; seldom changes
def _find_aside(workspace: Workspace, _versions: tuple[tuple[Path, int], ...]) -> Mapping[str, LostPoint]:
    points: dict[str, LostPoint] = {}
    for machine in (each for _path, record in read_older(workspace) if record for each in record.machines):
        for path, point in find_lost_images(machine).items():
            if path not in points or point.snapshot is not None:  # kept in any record is kept
                points[path] = point
    return points


def join_older(workspace: Workspace) -> LabRecord | None:
    """Return all records put aside as one, or None if there are none.

    If several hold a machine, the latest for which all its images exist counts; if there is none, the latest, and
    opening the lab then says what it lacks.

    Raises:
        HostTrouble: one of them cannot be read.
    """
    records: list[LabRecord] = []
    for path, record in read_older(workspace):
        if record is None:
            raise HostTrouble(
                _("{file} cannot be read.").format(file=path),
                _("Bring it back from a backup; or move it out of the folder, and the others are taken without it."),
            )
        records.append(record)
    if not records:
        return None
    told = [(each, record) for record in records for each in record.machines]
    machines: dict[str, tuple[MachineRecord, LabRecord]] = {}
    for each, record in sorted(told, key=lambda pair: not _is_whole(pair[0])):  # whole ones first; the sort is stable
        machines.setdefault(each.id, (each, record))
    lost = [each for id_, (_of, record) in machines.items() for each in record.lost if each.machine_id == id_]
    lost += [each for each in records[0].lost if each.machine_id not in machines]
    made = {name: each for record in reversed(records) for name, each in record.made.items()}
    of_all = tuple(sorted((machine for machine, _record in machines.values()), key=lambda each: each.name))
    return replace(records[0], machines=of_all, lost=tuple(lost), made=made)


def find_thawed(workspace: Workspace, kept: frozenset[str]) -> frozenset[str]:
    """Return the images of an older folder that were not frozen yet when it was saved, though snapshots keep them now.

    They lack what was written to them between the backup and the snapshot. They are found as active images in a record
    that was put aside, and by having no seal: an image that has been accepted as it is, or that froze since, has one.
    """
    records = [record for _path, record in read_older(workspace) if record]
    active = {image for record in records for machine in record.machines for image in active_images(machine)}
    return frozenset(active & kept - {str(workspace.disks / name) for name in find_seals(workspace.disks)})


def _find_gone(machine: MachineRecord) -> set[str]:
    """The images that a machine and its snapshots name and that do not exist."""
    return {path for path in find_lost_images(machine) if not os.path.lexists(path)}


def _is_whole(machine: MachineRecord) -> bool:
    return not _find_gone(machine)
