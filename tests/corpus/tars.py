"""Tar files that no tool should write: each does harm to a reader that believes it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from labkit.units import GIB


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _negative(_path: Path, sound: bytes) -> bytes:
    """A first header with a size below zero, in base 256, and its sum right."""
    block = bytearray(sound[:512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + sound[512:]


def _members(path: Path, _sound: bytes) -> None:
    """More members than any archive has."""
    with path.open("wb") as file:
        file.write(_header("disks/x", 0) * 100_000)


def _pax(text: bytes) -> bytes:
    return _header("PaxHeaders/x", len(text), tarfile.XHDTYPE) + text + bytes(-len(text) % 512)


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n"
    length = len(rest) + len(str(len(rest) + 3))
    return f"{length}{rest}".encode()


def _sparse(lines: bytes, stored: int | None = None, real: int = 2 << 40) -> bytes:
    """A sparse file with this map."""
    told = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "disks/x",
        "GNU.sparse.realsize": str(real),
    }
    data = lines + bytes(-len(lines) % 512)
    header = _pax(b"".join(_record(key, value) for key, value in told.items()))
    return header + _header("GNUSparseFile.0/disks/x", len(data) if stored is None else stored) + data


def _huge(path: Path, sound: bytes, *, before: bytes = b"") -> None:
    path.write_bytes(before or sound)
    os.truncate(path, 1 << 42)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _packed(mode: Literal["w:gz", "w:xz", "w:bz2"]) -> Callable[[Path, bytes], object]:
    def make(path: Path, sound: bytes) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode) as tar:
            info = tarfile.TarInfo("labkit.json")
            info.size = len(sound)
            tar.addfile(info, io.BytesIO(sound))
        path.write_bytes(packed.getvalue())

    return make


def _say(data: bytes) -> Callable[[Path, bytes], object]:
    return lambda path, sound: path.write_bytes(data + sound)


MAPS = {
    "a sparse map of ten million": _sparse(b"10000000\n" + b"0\n0\n" * 1000),
    "a sparse map that goes back": _sparse(b"2\n512\n512\n0\n512\n"),
    "a sparse map of letters": _sparse(b"two\n0\n0\n"),
    "a sparse map without end": _sparse(b"1" * 9_000_000),
    "a sparse map of segments of nothing": _sparse(b"200000\n" + b"0\n0\n" * 200_000),
    "a sparse map of a number too long": _sparse(b"1\n" + b"9" * 400 + b"\n1\n"),
    "a sparse map past the end": _sparse(b"1\n0\n99999999\n"),
}

TARS: dict[str, Callable[[Path, bytes], object]] = {
    "a hundred thousand members": _members,
    "a size below zero": lambda path, sound: path.write_bytes(_negative(path, sound)),
    "a size in base 256": _say(_header("disks/x", 1 << 80)),
    "a file of a tebibyte": lambda path, sound: _huge(path, sound, before=_header("disks/x", 1 << 40)),
    "zeros without end behind it": _huge,
    "a pax header of a gigabyte": lambda path, sound: _huge(path, sound, before=_header("p", GIB, tarfile.XHDTYPE)),
    "a pax header for all": _say(_header("p", 512, tarfile.XGLTYPE) + bytes(512)),
    "a pax record that says a size": _say(_pax(_record("size", str(1 << 60)))),
    "a pax record that says a path": _say(_pax(_record("path", "../../x"))),
    "a pax record without end": _say(_pax(b"9999 path=" + b"x" * 300)),
    "GNU's old sparse form": _say(_header("disks/x", 0, tarfile.GNUTYPE_SPARSE)),
    "a long name in GNU's way": _say(_header("././@LongLink", 512, tarfile.GNUTYPE_LONGNAME) + b"x" * 512),
    "a link": _say(_header("disks/x", 0, tarfile.SYMTYPE)),
    "a hard link": _say(_header("disks/x", 0, tarfile.LNKTYPE)),
    "a pipe": _say(_header("disks/x", 0, tarfile.FIFOTYPE)),
    "a device": _say(_header("disks/x", 0, tarfile.CHRTYPE)),
    "a folder": _say(_header("disks/x", 0, tarfile.DIRTYPE)),
    "a name with a newline": _say(_header("disks/a\nb", 0)),
    "a name upwards": _say(_header("../../x", 0)),
    "the same file twice": _say(_header("boot/x", 0) * 2),
    "a sparse file in a sparse file": _say(_pax(_record("GNU.sparse.major", "1")) + _sparse(b"0\n")),
    "in gzip": _packed("w:gz"),
    "in xz": _packed("w:xz"),
    "in bzip2": _packed("w:bz2"),
    "nothing": lambda path, _sound: path.write_bytes(b""),
    "zeros": lambda path, _sound: path.write_bytes(bytes(10_240)),
    "a folder in its place": lambda path, _sound: _replace(path, Path.mkdir),
    "a pipe in its place": lambda path, _sound: _replace(path, os.mkfifo),
    "a device in its place": lambda path, _sound: _replace(path, lambda place: place.symlink_to("/dev/zero")),
}
