"""Mutants of disk images of all six formats: looked at, brought in, mapped, or refused. Run as a child."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from labkit.errors import LabError
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.storage.foreign import inspect
from labkit.storage.headers import is_blank, read_chain, read_folder
from labkit.storage.importing import bring_in
from labkit.storage.maps import read_map
from labkit.units import MIB
from tests.corpus.cage import try_all
from tests.corpus.mutants import drawing, mutate_bytes
from tests.storage.tools import make_image, qemu_io

_PIECE = 64 * 1024
_CAPACITY = 2 * MIB
_HEADS = {Format.VHDX: 400 * 1024, Format.VMDK: 2048, Format.QCOW2: 1024}
_OFTEN = 5  # of so many mutants one is brought in too


def main(folder: Path, count: int) -> None:
    """Try so many of each format, and some that are known to be bad."""
    for format in Format:
        place = folder / format
        place.mkdir()
        try_all(f"images in {format}", _images(place, format, count))
    (folder / "texts").mkdir()
    try_all("descriptors", _descriptors(folder / "texts"))


def _images(folder: Path, format: Format, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    sound = make_image(folder / f"sound.{format}", format, _CAPACITY)
    qemu_io(sound, format, "write -P 7 1M 64k")
    data = sound.read_bytes()
    path, disks = folder / f"web.0.{format}", folder / "disks"
    disks.mkdir()
    for number in range(count):
        changed = mutate_bytes(data, drawing(number), head=_HEADS.get(format, 512))
        yield f"{format} {number}", partial(_look, path, format, changed, number, disks, _leave)
    for name, spoil in _HUGE.items():
        yield f"{format} {name}", partial(_look, path, format, data, 1, disks, spoil)


def _look(
    path: Path,
    format: Format,
    data: bytes,
    number: int,
    disks: Path,
    spoil: Callable[[Path], object],
) -> None:
    """All that is done with a file that somebody has put into the lab's folder, or brings."""
    _write(path, data)
    spoil(path)
    before = path.stat()
    try:
        for facts in read_folder(path.parent).values():
            assert facts.capacity in range(2**63)
            with contextlib.suppress(LabError):
                read_map([facts], limit=Limit(20))
        with contextlib.suppress(LabError, FileNotFoundError):
            read_chain(path, format)
        if format is Format.QCOW2:
            with contextlib.suppress(LabError):
                is_blank(path)
        foreign = inspect(path, format)
        if number % _OFTEN == 0:
            target = disks / "data.0.qcow2"
            bring_in(foreign, target, Format.QCOW2, Allocation.DYNAMIC, on_bytes=lambda _done, _all: None)
            target.unlink()
    finally:
        assert os.listdir(disks) == []
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _leave(_path: Path) -> None:
    """Spoil nothing more."""


def _write(path: Path, data: bytes) -> None:
    """Write a file with its zeros as holes."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        for at in range(0, len(data), _PIECE):
            if any(piece := data[at : at + _PIECE]):
                file.seek(at)
                file.write(piece)
        file.truncate(len(data))


_HUGE: dict[str, Callable[[Path], object]] = {
    "of a tebibyte": lambda path: os.truncate(path, 1 << 40),
    "of four exbibytes": lambda path: _try_truncate(path, 1 << 62),
    "of nothing": lambda path: os.truncate(path, 0),
    "of one byte": lambda path: os.truncate(path, 1),
}


def _try_truncate(path: Path, length: int) -> None:
    with contextlib.suppress(OSError):  # not every file system has such files
        os.truncate(path, length)


_HEAD = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
_TEXTS = {
    "of blank lines": _HEAD + b"\n" * 60_000,
    "of blanks": _HEAD + b" " * 60_000,
    "of blanks before extents": _HEAD + (b"\n \t" * 100 + b"RW 1 FLAT") * 190,
    "of extents": _HEAD + b'RW 1 FLAT "flat.vmdk" 0\n' * 2500,
    "of open quotes": _HEAD + b'RW 1 FLAT "' * 5000,
    "of digits": _HEAD + b"RW " + b"9" * 60_000 + b' FLAT "flat.vmdk" 0\n',
    "of an offset": _HEAD + b'RW 1 FLAT "flat.vmdk" ' + b"9" * 60_000 + b"\n",
    "of a large sum": _HEAD + b'RW 999999999999999 FLAT "flat.vmdk" 0\n' * 1500,
    "of a parent anywhere": _HEAD + b'x parentFileNameHint="/etc/passwd"\nRW 4 FLAT "flat.vmdk" 0\n',
    "of a parent without end": _HEAD + b'parentFileNameHint = "' + b"x" * 60_000,
    "of a file elsewhere": _HEAD + b'RW 4 FLAT "nbd:127.0.0.1:1" 0\n',
    "of a pipe": _HEAD + b'RW 0 FLAT "pipe.vmdk" 0\n',
    "of a pipe with data": _HEAD + b'RW 4 SPARSE "pipe.vmdk"\n',
    "longer than is read": _HEAD + b"#" * 70_000 + b'\nRW 4 FLAT "/etc/passwd" 0\n',
    "without end": _HEAD + b'RW 4 FLAT "flat.vmdk" 0\n',
}


def _descriptors(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    (folder / "flat.vmdk").write_bytes(bytes(MIB))
    os.mkfifo(folder / "pipe.vmdk")
    (folder / "disks").mkdir()
    path = folder / "web.0.vmdk"
    for name, text in _TEXTS.items():
        spoil = _HUGE["of a tebibyte"] if name == "without end" else _leave
        yield f"descriptor {name}", partial(_look, path, Format.VMDK, text, 1, folder / "disks", spoil)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
