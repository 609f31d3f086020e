"""The files of a lab are adapted to the folder that it is in now: backing names, memory. It may be done again.

Knows: the rooms below. Must not know: why the lab has moved, the hypervisor's definitions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from labkit.engine import seals
from labkit.engine.saved_memory import saved_file
from labkit.errors import LabError
from labkit.hypervisor.record_trust import is_readable
from labkit.hypervisor.record_xml import change_memory_xml
from labkit.hypervisor.recording import find_disks, read_memories
from labkit.limits import unheard
from labkit.model.image import Format, ImageFacts
from labkit.model.record import LabRecord, MachineRecord
from labkit.storage import memory_file
from labkit.storage.atomic import creating
from labkit.storage.files import copy_file, host_errors
from labkit.storage.headers import read_folder, read_image
from labkit.storage.linking import name_backing
from labkit.units import MIB


def follow(home: Path, record: LabRecord, old: str) -> None:
    """Adapt the files of a lab to the folder that it is in now; it may be called again.

    Args:
        old: the folder that they were in.
    """
    shutil.rmtree(home / "instances", ignore_errors=True)  # the record has all that they knew
    _name_backings_here(home, record, old)
    for machine in record.machines:
        if is_readable(machine):
            for path in read_memories(machine):
                _rewrite_memory(home, Path(path), machine, old)
            _rewrite_memory(home, saved_file(home, machine.name), machine, old)


def own_files(home: Path) -> None:
    """Let no image or memory of a copied folder be the original's file under a second name, as `cp -al` leaves them.

    Raises:
        NoSpace, HostTrouble: one cannot be copied; the others are whole.
    """
    for file in (path for name in ("disks", "memory") for path in sorted((home / name).glob("*"))):
        info = file.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_nlink == 1:
            continue
        with host_errors(file), creating(file, replace=True) as draft:
            copy_file(file, draft, on_bytes=unheard)
            draft.chmod(stat.S_IMODE(info.st_mode))
            os.utime(draft, ns=(info.st_atime_ns, info.st_mtime_ns))


def _name_backings_here(home: Path, record: LabRecord, old: str) -> None:
    """Rewrite headers that name the image below by a path in the old folder; those that labkit makes never do."""
    changed = []
    for image in _find_images(home, record, old):
        if image.backing is None or image.backing_format is None or _is_in(home, image.backing):
            continue
        below = _brought_here(image.backing, home, old)
        if _is_in(home, below) and os.path.exists(below):
            with _writable(Path(image.path)):
                name_backing(Path(image.path), Path(below), image.backing_format)
            changed.append(image.path)
    known = seals.find_seals(home / "disks")
    seals.seal([path for path in changed if os.path.basename(path) in known])


def _find_images(home: Path, record: LabRecord, old: str) -> list[ImageFacts]:
    """The images in the folder, including those of other programs whose names do not show their format."""
    images = read_folder(home / "disks")
    todo: list[tuple[str, Format | None]] = [(disk.path, disk.format) for disk in find_disks(record) if not disk.served]
    todo += [(image.backing, image.backing_format) for image in images.values() if image.backing]
    while todo:
        named, format = todo.pop()
        path = _brought_here(named, home, old)
        if path in images or not _is_in(home, path) or format is None:
            continue
        with contextlib.suppress(OSError, LabError):  # what is wrong with it is said where it is needed
            images[path] = image = read_image(Path(path), format)
            todo += [(image.backing, image.backing_format)] if image.backing else []
    return list(images.values())


def _brought_here(path: str, home: Path, old: str) -> str:
    """Where a file of the old folder is now; if the old folder is not known, its name decides."""
    if _is_in(home, path) or (old and not path.startswith(f"{old}{os.sep}")):
        return path
    return str(home / "disks" / os.path.basename(path))


def _is_in(home: Path, path: str) -> bool:
    return os.path.dirname(path) == str(home / "disks")


def _rewrite_memory(home: Path, file: Path, machine: MachineRecord, old: str) -> None:
    """Adapt the definition in a memory file to the machine's present name and files."""
    try:
        header = memory_file.read_header(file)
    except (OSError, ValueError):
        return  # missing or damaged: restoring it will say so
    xml = change_memory_xml(header.xml, machine, old, str(home))
    if xml == header.xml:
        return
    disks = home / "disks"
    sealed = file.name in seals.find_seals(disks) and not seals.find_changed(disks, [str(file)])
    mode = file.stat().st_mode & 0o777
    with host_errors(file), creating(file, replace=True) as draft:
        with file.open("rb") as source, draft.open("wb") as target:
            source.seek(header.length)
            target.write(memory_file.build_header(replace(header, xml=xml)))
            shutil.copyfileobj(source, target, 4 * MIB)
        draft.chmod(mode)
    if sealed:
        seals.seal([str(file)])


@contextmanager
def _writable(file: Path) -> Iterator[None]:
    """Make a read-only file writable inside the block."""
    mode = file.stat().st_mode & 0o777
    file.chmod(mode | 0o200)
    try:
        yield
    finally:
        file.chmod(mode)
