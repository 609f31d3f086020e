"""The memory of saved machines, kept in the lab's folder too: libvirt has it among its own configuration.

    home/saved/web.save    a further name of libvirt's file, where both are on one file system

Memory fits the disks of one instant only. So it is given back only where the active images are, byte for byte, what
they were when the machine was saved; else the guest would write an old file system's memory over a newer one.
Knows: the rooms below. Must not know: plans, when a machine is saved.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.engine.seals import hash_file
from labkit.errors import LabError
from labkit.hypervisor import saving
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.record_trust import are_known, find_strange_things
from labkit.hypervisor.recording import active_images
from labkit.language import _
from labkit.model.record import DiskMark, MachineRecord, SavedMemory
from labkit.storage import memory_file
from labkit.storage.files import host_errors
from labkit.units import MIB

_HASHED = 64 * MIB
"""Bytes up to which an active image is hashed when its machine is saved; larger ones are known by size and time."""


def saved_file(home: Path, machine: str) -> Path:
    """Return where the memory of a saved machine is in its lab's folder."""
    return home / "saved" / f"{machine}.save"


def keep_saved(
    home: Path, connection: Connection, found: Mapping[str, MachineRecord], old: Mapping[str, MachineRecord | None]
) -> dict[str, MachineRecord]:
    """Keep the memory of those machines that are saved in the folder, and note it with each; the rest as it is.

    Args:
        found: machines by id as the hypervisor knows them now. old: what the record said of them.
    """
    files = saving.find_files(connection, {id_: machine.domain for id_, machine in found.items()})
    kept = dict(found)
    for id_, source in files.items():
        before = old.get(id_)
        kept[id_] = replace(found[id_], saved=_keep(home, found[id_], source, before.saved if before else None))
    return kept


def _keep(home: Path, machine: MachineRecord, source: Path, before: SavedMemory | None) -> SavedMemory:
    target = saved_file(home, machine.name)
    with host_errors(target):
        if before and before.in_folder and target.exists() and target.samefile(source):
            return before
        images = [home / "disks" / os.path.basename(path) for path in active_images(machine)]
        marks = {path.name: _mark(path) for path in images if path.exists()}
        target.parent.mkdir(mode=0o700, exist_ok=True)
        draft = target.with_suffix(".part")
        draft.unlink(missing_ok=True)
        try:
            os.link(source, draft)
        except OSError:
            return SavedMemory(in_folder=False, disks=marks)  # another file system: that is told
        draft.replace(target)
    return SavedMemory(in_folder=True, disks=marks)


def drop_stale(home: Path, machines: Iterable[MachineRecord]) -> None:
    """Remove from the folder the memory of machines that are saved no more."""
    wanted = {saved_file(home, machine.name).name for machine in machines if machine.saved and machine.saved.in_folder}
    for path in (home / "saved").glob("*.save"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (home / "saved").rmdir()


def give_back(home: Path, connection: Connection, machine: MachineRecord) -> bool:
    """Let a machine that was brought back be saved again, as it was; returns whether it is.

    It is off where its memory is not in the folder, where a disk has changed since, or where this QEMU cannot take it;
    the memory is then kept beside.
    """
    file = saved_file(home, machine.name)
    saved = machine.saved
    if saved is None or not saved.in_folder or not file.exists():
        return False
    with contextlib.suppress(LabError, OSError, ValueError):
        fits = all(
            os.path.exists(path) and _fits(Path(path), saved.disks.get(os.path.basename(path)))
            for path in active_images(machine)
        )
        header = memory_file.read_header(file)
        strange = find_strange_things(header.xml, str(home))
        if fits and are_known(strange, saving.read_definition(connection, machine), str(home)):
            saving.save_again(connection, machine, str(file), header.xml, was_running=header.was_running == 1)
            return True
    file.rename(file.with_suffix(f".{file.stat().st_mtime_ns}.kept"))
    return False


def drop_overtaken(connection: Connection, lab_id: str) -> list[str]:
    """Delete what a save has left that was cut short, after which the guest went on; returns a sentence for each."""
    with contextlib.suppress(LabError):  # no daemon: there is nobody who would use it
        sentence = _("Saving {machine} was cut short: it went on, and the memory that was written is deleted.")
        return [sentence.format(machine=name) for name in saving.drop_overtaken(connection, lab_id)]
    return []


def _mark(path: Path) -> DiskMark:
    info = path.stat()
    sha256 = hash_file(path) if info.st_size <= _HASHED else None
    return DiskMark(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=sha256)


def _fits(path: Path, mark: DiskMark | None) -> bool:
    info = path.stat()
    if mark is None or info.st_size != mark.size:
        return False
    return info.st_mtime_ns == mark.mtime_ns if mark.sha256 is None else hash_file(path) == mark.sha256
