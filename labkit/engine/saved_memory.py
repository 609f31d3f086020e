"""The memory of saved machines, kept in the lab's folder too; libvirt keeps it in its own configuration folder.

    home/saved/web.save    a hard link to libvirt's file, if both are on the same file system

Memory fits the disks of one instant only. So it is given back only if the active images are, byte for byte, what they
were when the machine was saved; otherwise the guest would write an old file system's caches over a newer file system.
Knows: the rooms below. Must not know: plans, when a machine is saved.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.errors import LabError
from labkit.hypervisor import saving
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.record_trust import are_known, find_strange_things
from labkit.hypervisor.recording import active_images
from labkit.model.record import DiskMark, MachineRecord, SavedMemory
from labkit.storage import memory_file
from labkit.storage.contents import hash_file
from labkit.storage.files import host_errors
from labkit.units import MIB

_HASHED = 64 * MIB
"""Up to this many bytes an active image is hashed when its machine is saved; of larger ones size and time count."""


def saved_file(home: Path, machine: str) -> Path:
    """Return the path of a saved machine's memory in its lab's folder."""
    return home / "saved" / f"{machine}.save"


def keep_saved(
    home: Path, connection: Connection, found: Mapping[str, MachineRecord], old: Mapping[str, MachineRecord | None]
) -> dict[str, MachineRecord]:
    """Keep the memory of saved machines in the folder; returns all machines, the saved ones with `saved` set.

    Args:
        found: the machines as the hypervisor knows them now, by id. old: what the record said of them.
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
            return SavedMemory(in_folder=False, disks=marks)  # another file system: the lab says so
        draft.replace(target)
    return SavedMemory(in_folder=True, disks=marks)


def drop_stale(home: Path, machines: Iterable[MachineRecord]) -> None:
    """Remove the memory of machines that are no longer saved from the folder."""
    wanted = {saved_file(home, machine.name).name for machine in machines if machine.saved and machine.saved.in_folder}
    for path in (home / "saved").glob("*.save"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (home / "saved").rmdir()


def give_back(home: Path, connection: Connection, machine: MachineRecord) -> bool:
    """Make a machine that was brought back saved again; returns whether it is.

    It stays off if its memory is not in the folder, if a disk has changed since, or if this QEMU cannot restore the
    memory, which is then kept under another name.
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


def _mark(path: Path) -> DiskMark:
    info = path.stat()
    sha256 = hash_file(path) if info.st_size <= _HASHED else None
    return DiskMark(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=sha256)


def _fits(path: Path, mark: DiskMark | None) -> bool:
    info = path.stat()
    if mark is None or info.st_size != mark.size:
        return False
    return info.st_mtime_ns == mark.mtime_ns if mark.sha256 is None else hash_file(path) == mark.sha256
