"""Writing an archive: each file with its holes left out, the manifest last.

Knows: tar, hashes. Must not know: images, machines.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit, OnBytes
from labkit.storage.archive.reading import MOST_SEGMENTS
from labkit.storage.atomic import creating
from labkit.storage.files import host_errors
from labkit.storage.plain import opened_plain
from labkit.units import KIB, MIB

MANIFEST = "labkit.json"
"""The manifest's name in the archive."""

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 4 * MIB
_MOST_NAME = 80  # bytes; a header has room for 100, and the mark of a sparse file precedes the name
_SPARSE_FROM = 256 * KIB  # from this many bytes on, holes are left out

Segments = Sequence[tuple[int, int]]
"""The pieces of data in a file: (offset, bytes), ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to be written into an archive: its name there, its path, and whether its holes may be left out."""

    name: str
    path: Path
    sparse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the archive holds of a file: the number of bytes, and their hash."""

    stored: int
    sha256: str


def write_archive(
    target: Path,
    sources: Sequence[Source],
    manifest: Callable[[Mapping[str, Written]], bytes],
    *,
    on_bytes: OnBytes,
    limit: Limit = NO_LIMIT,
) -> None:
    """Write an archive; it gets its name when it is whole and on the disk, and after an error nothing is left.

    Args:
        manifest: called with what was written of each file, by name; returns the manifest's text.

    Raises:
        AlreadyExists: there is such a file.
        NoSpace, HostTrouble: it cannot be written. Cancelled, TimedOut: from the limit.
    """
    total = sum(source.path.stat().st_blocks * 512 for source in sources)
    written: dict[str, Written] = {}
    with creating(target) as draft, host_errors(target), draft.open("xb") as archive:
        os.chmod(draft, 0o600)
        for source in sources:
            before = sum(each.stored for each in written.values())

            def hear(done: int, before: int = before) -> None:
                on_bytes(min(before + done, total), total)

            written[source.name] = _write_member(archive, source, hear, limit)
        text = manifest(written)
        archive.write(_header(MANIFEST, len(text)) + _padded(text) + bytes(2 * _BLOCK))


def _write_member(archive: BinaryIO, source: Source, on_bytes: Callable[[int], None], limit: Limit) -> Written:
    with host_errors(source.path), opened_plain(source.path, follow=True) as file:
        length = os.fstat(file.fileno()).st_size
        segments = _find_data(file.fileno(), length)
        data = sum(count for _offset, count in segments)
        prologue = b""
        if source.sparse and length - data >= _SPARSE_FROM:
            prologue = _padded(_build_map([*segments, (length, 0)]))
            archive.write(_sparse_header(source.name, length))
            archive.write(_header(f"GNUSparseFile.0/{_short(source.name)}", len(prologue) + data))
        else:
            segments = [(0, length)]
            data = length
            if _short(source.name) != source.name:
                archive.write(_pax_header({"path": source.name}))
            archive.write(_header(_short(source.name), length))
        digest = hashlib.sha256(prologue)
        archive.write(prologue)
        done = 0
        for offset, count in segments:
            file.seek(offset)
            left = count
            while left:
                limit.check()
                piece = file.read(min(_CHUNK, left))
                if not piece:
                    raise HostTrouble(_("{name} has changed while it was read.").format(name=source.path.name))
                digest.update(piece)
                archive.write(piece)
                left, done = left - len(piece), done + len(piece)
                on_bytes(done)
        archive.write(bytes(-(len(prologue) + data) % _BLOCK))
    return Written(stored=len(prologue) + data, sha256=digest.hexdigest())


def _find_data(file: int, length: int) -> Segments:
    found: list[tuple[int, int]] = []
    position = 0
    while position < length:
        try:
            start = os.lseek(file, position, os.SEEK_DATA)
        except OSError:
            break  # only a hole is left
        position = min(os.lseek(file, start, os.SEEK_HOLE), length)
        found.append((start, position - start))
    os.lseek(file, 0, os.SEEK_SET)
    return _join(found, MOST_SEGMENTS)


def _join(segments: Segments, most: int) -> Segments:
    """Return the pieces of data in a file, at most `most` of them: if there are more, small holes count as data."""
    hole = _BLOCK
    while len(segments) > most:
        hole *= 2
        joined = [segments[0]]
        for start, count in segments[1:]:
            before, length = joined[-1]
            if start - before - length <= hole:
                joined[-1] = (before, start + count - before)
            else:
                joined.append((start, count))
        segments = joined
    return segments


def _build_map(segments: Segments) -> bytes:
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    return b"".join(b"%d\n" % number for number in numbers)


def _short(name: str) -> str:
    """As much of a name as a header has room for; the whole name is then in a pax header before it."""
    return name.encode()[:_MOST_NAME].decode(errors="ignore")


def _sparse_header(name: str, length: int) -> bytes:
    values = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name}
    return _pax_header(values | {"GNU.sparse.realsize": str(length)})


def _pax_header(values: Mapping[str, str]) -> bytes:
    text = b"".join(_pax_record(key, value) for key, value in values.items())
    return _header("PaxHeaders/labkit", len(text), tarfile.XHDTYPE) + _padded(text)


def _pax_record(key: str, value: str) -> bytes:
    """A record of a pax header: a line that begins with its own length."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header with GNU's form of large numbers and POSIX's magic: only after that does tar look for sparse files."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, size, 0o600
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8  # blanks while its checksum is computed
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
