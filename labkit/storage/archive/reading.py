"""Reading an archive that anyone may have made.

Only plain files are read. A name is compared with the manifest and never becomes a path. Every number is checked
against the length of the archive before it is used, and the content of each file against its hash.
Knows: tar, hashes. Must not know: images, machines.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from labkit.errors import BadInput, HostTrouble, NotFound
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit, OnBytes
from labkit.storage.files import host_errors
from labkit.storage.plain import NotPlain, opened_plain
from labkit.units import KIB, MIB

MOST_MANIFEST = 32 * MIB
"""The most bytes that a manifest may have."""

MOST_SEGMENTS = 200_000
"""The most pieces of data between holes that a sparse file in an archive may have."""

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 4 * MIB
_MOST_MEMBERS = 10_000
_MOST_PAX = 4 * KIB
_MOST_MAP = 8 * MIB
_PAX_RECORD = re.compile(rb"(\d{1,4}) ([A-Za-z.]+)=([^\n]*)\n")
_NUMBER = re.compile(rb"\d{1,18}")
_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")  # gzip, xz, bzip2, zstd, zip


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in an archive.

    Attributes:
        name: as written there. start, stored: where its bytes are in the archive, and how many.
        sparse: whether those bytes begin with a map of where they belong. length: bytes of the unpacked file.
    """

    name: str
    start: int
    stored: int
    sparse: bool
    length: int


def read_members(path: Path) -> list[Member]:
    """Return where the files in an archive are; their content is not read.

    Raises:
        NotFound: there is no such file. BadInput: it is not an archive of labkit's form. HostTrouble: it cannot be
            read.
    """
    try:
        with opened_plain(path, follow=True) as archive:
            return list(_read_members(archive, path.name))
    except NotPlain as error:
        raise refused(path.name, _("it is a folder, a pipe or a device")) from error
    except FileNotFoundError as error:
        raise NotFound(_("There is no file {path}.").format(path=path), _("Look at its name.")) from error
    except OSError as error:
        raise HostTrouble(
            _("{name} cannot be read: {why}.").format(name=path.name, why=error.strerror), details=str(error)
        ) from error


def read_bytes(path: Path, member: Member, most: int) -> bytes:
    """Return the first bytes of a file in an archive, at most `most`; it must not be sparse.

    Raises:
        HostTrouble: the archive can no longer be read.
    """
    with host_errors(path), opened_plain(path, follow=True) as archive:
        archive.seek(member.start)
        return archive.read(min(member.stored, most))


def unpack(
    path: Path,
    member: Member,
    target: BinaryIO,
    sha256: str,
    *,
    on_bytes: OnBytes,
    limit: Limit = NO_LIMIT,
    begin: bytes = b"",
    skip: int = 0,
) -> None:
    """Write the content of a file in an archive into an open, empty file, holes as holes.

    Args:
        sha256: of its stored bytes. begin: written instead of the first `skip` bytes (the file must not be sparse).

    Raises:
        BadInput: its bytes do not have this hash; the caller must throw the target away.
        NoSpace, HostTrouble: the target cannot be written. Cancelled, TimedOut: from the limit.
    """
    digest = hashlib.sha256()
    with host_errors(path), opened_plain(path, follow=True) as archive:
        archive.seek(member.start)
        taken = 0

        def take(count: int) -> bytes:
            nonlocal taken
            data = archive.read(count)
            if len(data) < count:
                raise refused(path.name, _("it was cut short"))
            digest.update(data)
            taken += count
            on_bytes(taken, member.stored)
            return data

        segments = _take_map(take, member, path.name) if member.sparse else [(0, member.stored)]
        target.write(begin)
        for offset, count in segments:
            if member.sparse:
                target.seek(offset)
            left = count
            while left:
                limit.check()
                data = take(min(_CHUNK, left))
                left -= len(data)
                target.write(data[skip:])
                skip = max(0, skip - len(data))
        if member.sparse:
            target.truncate(member.length)
    if digest.hexdigest() != sha256:
        raise refused(path.name, _("{member} is damaged: it has another hash").format(member=member.name))


def refused(name: str, why: str) -> BadInput:
    """Return the error for an archive that is not accepted."""
    return BadInput(
        _("{name} is not brought in: {why}.").format(name=name, why=why),
        _("Export the machine again, or fetch the file again."),
    )


def _read_members(archive: BinaryIO, name: str) -> Iterator[Member]:
    size = os.fstat(archive.fileno()).st_size
    position, told = 0, None
    for _number in range(_MOST_MEMBERS):
        archive.seek(position)
        block = archive.read(_BLOCK)
        if position and (not block or block == bytes(_BLOCK)):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
            why = _("it is damaged, or was cut short")
            if position == 0:
                packed = block.startswith(_PACKED)
                why = _("it is compressed; unpack it first") if packed else _("it is no archive of a machine")
            raise refused(name, why) from error
        start = position + _BLOCK
        if info.size < 0 or start + info.size > size:
            raise refused(name, _("it was cut short"))
        position = start + -(-info.size // _BLOCK) * _BLOCK
        if info.type == tarfile.XHDTYPE and told is None and info.size <= _MOST_PAX:
            told = _read_pax(archive.read(info.size), name)
            continue
        if info.type != tarfile.REGTYPE:
            raise refused(name, _("{member} in it is no plain file").format(member=repr(info.name)))
        called, length = told or (info.name, None)
        yield Member(
            name=called,
            start=start,
            stored=info.size,
            sparse=length is not None,
            length=info.size if length is None else length,
        )
        told = None
    raise refused(name, _("it holds too many files"))


def _read_pax(text: bytes, name: str) -> tuple[str, int | None]:
    """Return a file's name, and a sparse file's length, from a pax header; any other content is refused."""
    values: dict[bytes, bytes] = {}
    position = 0
    while match := _PAX_RECORD.match(text, position):
        if int(match[1]) != match.end() - position:
            break
        values[match[2]] = match[3]
        position = match.end()
    if position == len(text) and values.keys() == {b"path"}:
        return values[b"path"].decode("utf-8", "replace"), None
    length = values.get(b"GNU.sparse.realsize", b"")
    expected = {b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name", b"GNU.sparse.realsize"}
    if position != len(text) or values.keys() != expected or not _NUMBER.fullmatch(length):
        raise refused(name, _("it has a header that labkit does not write"))
    return values[b"GNU.sparse.name"].decode("utf-8", "replace"), int(length)


def _take_map(take: Callable[[int], bytes], member: Member, name: str) -> list[tuple[int, int]]:
    """Read and check the map at the beginning of a sparse file's bytes, block by block."""
    blocks: list[bytes] = []
    lines, wanted = 0, 1
    while lines < wanted:
        if (len(blocks) + 1) * _BLOCK > min(member.stored, _MOST_MAP):
            raise _bad_map(member, name)
        blocks.append(take(_BLOCK))
        first = lines == 0
        lines += blocks[-1].count(b"\n")
        if first and lines:
            wanted = 1 + 2 * _number(b"".join(blocks).split(b"\n", 1)[0], member, name)
            if wanted > 1 + 2 * (MOST_SEGMENTS + 1):
                raise _bad_map(member, name)
    count, *numbers = (_number(line, member, name) for line in b"".join(blocks).split(b"\n")[:wanted])
    segments = list(zip(numbers[0::2], numbers[1::2], strict=True))
    ends = [0, *(offset + length for offset, length in segments)]
    ordered = all(end <= offset for end, (offset, _length) in zip(ends, segments, strict=False))
    stored = len(blocks) * _BLOCK + sum(length for _offset, length in segments)
    if count != len(segments) or not ordered or ends[-1] > member.length or stored != member.stored:
        raise _bad_map(member, name)
    return segments


def _number(line: bytes, member: Member, name: str) -> int:
    if not _NUMBER.fullmatch(line):
        raise _bad_map(member, name)
    return int(line)


def _bad_map(member: Member, name: str) -> BadInput:
    return refused(name, _("the map of {member} is damaged").format(member=member.name))
