"""The files through which computers that see the same lab know of each other, in the folder of its locks.

    lease.holder            whose the lab is: one start of one computer
    BOOT.PID.kernel         a kernel that has the lab open, with a counter that grows while it is alive
    BOOT.guests             the guests that run on a computer, each with its process

Each file has one writer: a kernel writes its own, a computer its guests; the holder's is made under another name and
then linked. A file that cannot be read counts as that of an unknown computer, and is not ignored.

Knows: the form of the files. Must not know: what follows from them.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from labkit.engine.computer import Computer
from labkit.printing import harmless
from labkit.storage.bounded import read_json
from labkit.storage.files import host_errors, open_draft
from labkit.storage.whole_files import put_new
from labkit.units import KIB

T = TypeVar("T")

HOLDER = "lease.holder"

_MOST = 256 * KIB  # the most bytes of a file that are read
_UNKNOWN = Computer(boot="?", id="", name="?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel(Computer):
    """A kernel's file."""

    pid: int
    started: float
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
    """A guest in a computer's file."""

    id: str
    name: str
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guests(Computer):
    """A computer's file of guests."""

    guests: tuple[_Guest, ...]


_UNKNOWN_KERNEL = _Kernel(**asdict(_UNKNOWN), pid=0, started=0.0, counter=0)
_UNKNOWN_GUESTS = _Guests(**asdict(_UNKNOWN), guests=(_Guest(id="", name="?", pid=None),))


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelMark:
    """A kernel that has the lab open: its computer, its process id and start time (seconds), its counter."""

    path: Path
    computer: Computer
    pid: int
    started: float
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestMark:
    """A guest that runs, or may run: the machine's id and name, its process id (None: not known)."""

    id: str
    name: str
    pid: int | None


def read_holder(folder: Path) -> Computer | None:
    """Return whose the lab is, or None if it is nobody's."""
    holder = _read(folder / HOLDER, Computer, _UNKNOWN)
    return None if holder is None else _plain(holder)


def make_holder(folder: Path, computer: Computer) -> bool:
    """Give a lab that is nobody's to a computer; returns whether that worked: another may have been faster."""
    draft = folder / f"lease-{uuid.uuid4().hex}.draft"
    try:
        _write(draft, asdict(computer))
        put_new(draft, folder / HOLDER)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def remove_holder(folder: Path, computer: Computer) -> bool:
    """End a computer's hold on a lab; returns whether the lab was that computer's."""
    aside = folder / f"lease-{uuid.uuid4().hex}.draft"
    try:
        (folder / HOLDER).rename(aside)
    except FileNotFoundError:
        return False
    try:
        if read := _read(aside, Computer, _UNKNOWN):
            if _plain(read) == computer:
                return True
            with contextlib.suppress(FileExistsError):  # another computer was faster: put its file back
                put_new(aside, folder / HOLDER)
        return False
    finally:
        aside.unlink(missing_ok=True)


def drop_all(folder: Path) -> None:
    """Make a lab nobody's, since the files in a copy of its folder are about the original."""
    for path in (folder / HOLDER, *folder.glob("*.kernel"), *folder.glob("*.guests")):
        path.unlink(missing_ok=True)


def write_kernel(folder: Path, computer: Computer, *, pid: int, started: float, counter: int) -> Path:
    """Write a kernel's sign of life; returns its file."""
    path = folder / f"{computer.boot}.{pid}.kernel"
    _write_in_place(path, {**asdict(computer), "pid": pid, "started": started, "counter": counter})
    return path


def read_kernels(folder: Path) -> Iterator[KernelMark]:
    """Yield the kernels that have, or had, the lab open."""
    for path in _find_marks(folder, "*.kernel"):
        if kernel := _read(path, _Kernel, _UNKNOWN_KERNEL):
            yield KernelMark(
                path=path, computer=_plain(kernel), pid=kernel.pid, started=kernel.started, counter=kernel.counter
            )


def write_guests(folder: Path, computer: Computer, guests: list[GuestMark]) -> None:
    """Write which guests run on a computer; if there are none, remove the file."""
    path = folder / f"{computer.boot}.guests"
    if guests:
        _write_in_place(path, {**asdict(computer), "guests": [asdict(guest) for guest in guests]})
    else:
        path.unlink(missing_ok=True)


def read_guests(folder: Path) -> Iterator[tuple[Path, Computer, list[GuestMark]]]:
    """Yield the guests of each computer, with the file that lists them."""
    for path in _find_marks(folder, "*.guests"):
        if read := _read(path, _Guests, _UNKNOWN_GUESTS):
            marks = [GuestMark(id=each.id, name=harmless(each.name)[:80], pid=each.pid) for each in read.guests]
            yield path, _plain(read), marks


def _find_marks(folder: Path, pattern: str) -> list[Path]:
    with host_errors(folder):
        return sorted(folder.glob(pattern))


def _plain(computer: Computer) -> Computer:
    """The computer, with a name that may be shown."""
    name = "".join(char for char in computer.name if char.isprintable())[:80]
    return Computer(boot=computer.boot, id=computer.id, name=name)


def _read(path: Path, kind: type[T], unknown: T) -> T | None:
    """The content of a file, None if there is none, or `unknown` if it cannot be understood."""
    try:
        return read_json(path, kind, most=_MOST)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return unknown


def _write(path: Path, document: dict[str, Any]) -> None:
    with open_draft(path) as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def _write_in_place(path: Path, document: dict[str, Any]) -> None:
    draft = path.with_name(f"lease-{uuid.uuid4().hex}.draft")
    try:
        _write(draft, document)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
