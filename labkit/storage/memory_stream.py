"""QEMU's stream, which follows the header of a memory file: taking it apart, and renaming the memory in it.

    "QEVM", version; the configuration; the section "ram": first the blocks with their names and lengths, then their
    pages, in any order, each after its offset and its flags, and before the last of them, from QEMU 10 on, a command
    that says so; then the devices, which are not looked into here.

A guest's own memory is one of the blocks. If its pages are laid out in a file as the guest sees them, any number of
guests can map them; the rest of the stream is then small and holds everything else.

Source: QEMU, docs/devel/migration, migration/ram.c, migration/savevm.c. Knows: bytes. Must not know: libvirt, guests.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, Final

from labkit.limits import NO_LIMIT, Limit, OnBytes, unheard
from labkit.model.mapped import MAPPED_NAMES
from labkit.storage.plain import open_plain
from labkit.units import KIB, MIB

_BEGIN: Final = b"QEVM\0\0\0\3"
_CONFIGURATION, _START, _PART, _END, _SUBSECTION, _FOOTER = 0x07, 0x01, 0x02, 0x03, 0x05, 0x7E
_LAST_NOW: Final = b"\x08\0\x0b\0\0"
"""A command without data: what follows is the last of everything. From QEMU 10 on it precedes the last part."""
_FILL, _SIZES, _PAGE, _STOP, _SAME = 0x02, 0x04, 0x08, 0x10, 0x20  # flags in the section "ram"
_FLAGS = 4 * KIB - 1
_PAGE_BYTES = 4 * KIB
_AT_ONCE = 256  # pages that are written with one call
_ZEROS = bytes(_PAGE_BYTES)
_BUFFER = MIB
_WORD, _NUMBER = struct.Struct(">Q"), struct.Struct(">I")

_Part = tuple[int, bytes, int, int, bytes]
"""A part of the stream: its kind (0: only passed on), the block's name and where that is (0: the same as the last one),
the block's length or the page's place, and the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The block with a guest's memory.

    Attributes:
        name: as in the stream. length: bytes.
    """

    name: str
    length: int


def find_memory(path: Path, start: int) -> Block:
    """Return the block with a guest's memory.

    Args:
        start: the offset at which the stream begins.

    Raises:
        ValueError: it is a stream of another kind. OSError: it cannot be read.
    """
    with _opened(path, start) as (reader, _file):
        for kind, name, _at, value, _bytes in _walk(reader):
            if kind == _SIZES and (block := _as_memory(name, value)):
                return block
    raise ValueError("no memory in it")


def split(
    path: Path, start: int, pages: BinaryIO, rest: BinaryIO, *, on_bytes: OnBytes = unheard, limit: Limit = NO_LIMIT
) -> Block:
    """Write a guest's memory as the guest sees it, and the rest of the stream, where the block has its mapped name.

    Args:
        start: the offset at which the stream begins. pages, rest: open and empty files; zeros in the memory become
            holes.

    Returns:
        The block, under its new name.

    Raises:
        ValueError: it is a stream of another kind. OSError: it cannot be read or written. Cancelled, TimedOut: from the
            limit.
    """
    whole = path.stat().st_size
    memory = Block(name="", length=0)
    layer = _Layer(pages)
    last = b""
    with _opened(path, start) as (reader, file):
        for kind, name, _at, value, data in _walk(reader):
            if kind == _SIZES:
                block = _as_memory(name, value)
                memory = block or memory
                rest.write(_named(_mapped(name) if block else name) + _WORD.pack(value))
            elif kind in (_PAGE, _FILL) and name == memory.name.encode():
                layer.put(value, data if kind == _PAGE else data * _PAGE_BYTES)
                if layer.count % _AT_ONCE == 0:
                    limit.check()
                    on_bytes(min(reader.at, whole), whole)
            elif kind in (_PAGE, _FILL):
                same = _SAME if name == last else 0
                rest.write(_WORD.pack(value | kind | same) + (b"" if same else _named(name)) + data)
                last = name
            else:
                rest.write(data)
                last = b""
        if not memory.length:
            raise ValueError("no memory in it")
        layer.end(memory.length)
        file.seek(reader.at)
        while data := file.read(_BUFFER):
            rest.write(data)
    on_bytes(whole, whole)
    return Block(name=MAPPED_NAMES[memory.name], length=memory.length)


def unmap(path: Path, start: int) -> bool:
    """Rename mapped memory as in any other guest's stream; returns whether there was anything to rename.

    Both names have the same length, so an interrupted call is simply repeated.

    Raises:
        ValueError: it is a stream of another kind. OSError: it cannot be written.
    """
    plain = {mapped.encode(): name.encode() for name, mapped in MAPPED_NAMES.items()}
    with _opened(path, start) as (reader, _file):
        found = [(at, plain[name]) for _kind, name, at, _value, _bytes in _walk(reader) if at and name in plain]
    with path.open("r+b") as file:
        for at, name in found:
            os.pwrite(file.fileno(), name, at)
    return bool(found)


def _as_memory(name: bytes, length: int) -> Block | None:
    text = name.decode(errors="replace")
    return Block(name=text, length=length) if text in MAPPED_NAMES else None


def _mapped(name: bytes) -> bytes:
    return MAPPED_NAMES[name.decode()].encode()


def _named(name: bytes) -> bytes:
    return bytes([len(name)]) + name


class _Layer:
    """A file in which pages are laid out: neighbours are written by one call, zeros not at all."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._next = -1
        self._begin = 0
        self._waiting: list[bytes] = []
        self._written = set[int]()
        self.count = 0

    def put(self, offset: int, page: bytes) -> None:
        """Lay a page out; of two for the same place the later one counts."""
        self.count += 1
        if page == _ZEROS and offset not in self._written:
            return
        if offset != self._next or len(self._waiting) == _AT_ONCE:
            self._flush()
            self._begin = offset
        self._written.add(offset)
        self._waiting.append(page)
        self._next = offset + len(page)

    def end(self, length: int) -> None:
        """Write what is still waiting; then the file has its full length."""
        self._flush()
        os.ftruncate(self._descriptor, length)

    def _flush(self) -> None:
        left, at = b"".join(self._waiting), self._begin
        self._waiting.clear()
        while left:
            done = os.pwrite(self._descriptor, left, at)
            left, at = left[done:], at + done


class _Reader:
    """A file read in order, which tells where it stands."""

    def __init__(self, file: BufferedReader[FileIO], at: int) -> None:
        self._file = file
        self.at = at

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            ValueError: there are fewer.
        """
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("cut short")
        self.at += count
        return data

    def word(self) -> int:
        """Return a number of eight bytes."""
        return int(_WORD.unpack(self.take(8))[0])

    def name(self) -> bytes:
        """Return a name, which follows its length."""
        return self.take(self.take(1)[0])

    def peek(self) -> int:
        """Return the next byte without taking it; -1 at the end."""
        data = self._file.peek(1)
        return data[0] if data else -1


@contextmanager
def _opened(path: Path, start: int) -> Iterator[tuple[_Reader, BufferedReader[FileIO]]]:
    with BufferedReader(FileIO(open_plain(path, follow=True)), _BUFFER) as file:
        file.seek(start)
        yield _Reader(file, start), file


def _walk(reader: _Reader) -> Iterator[_Part]:
    """Yield the parts of a stream up to the end of the section "ram", where the reader is afterwards.

    Raises:
        ValueError: it is a stream of another kind.
    """
    begin = reader.take(len(_BEGIN))
    if begin != _BEGIN:
        raise ValueError("no stream")
    yield 0, b"", 0, 0, begin + _read_configuration(reader)
    start = reader.take(1) + reader.take(4)
    section, name = start[1:], reader.name()
    if start[0] != _START or name != b"ram":
        raise ValueError(f"it begins with something else: {name!r}")
    yield 0, b"", 0, 0, start + _named(name) + reader.take(8)  # with its instance and version
    kind, last = _START, b""
    while True:
        for part in _walk_section(reader, last):
            last = part[1] or last
            yield part
        foot = reader.take(5)
        if foot != bytes([_FOOTER]) + section:
            raise ValueError("a section without its foot")
        yield 0, b"", 0, 0, foot
        if kind == _END:
            return
        head = reader.take(5)
        if head == _LAST_NOW:
            yield 0, b"", 0, 0, head
            head = reader.take(5)
        kind = head[0]
        if kind not in (_PART, _END) or head[1:] != section:
            raise ValueError("another section among those of the memory")
        yield 0, b"", 0, 0, head


def _read_configuration(reader: _Reader) -> bytes:
    """Return the bytes of the configuration, up to the first section."""
    read = reader.take(1)
    if read[0] != _CONFIGURATION:
        raise ValueError("no configuration")
    length = reader.take(4)
    read += length + reader.take(_NUMBER.unpack(length)[0])
    while reader.peek() == _SUBSECTION:
        head = reader.take(2)
        name = reader.take(head[1])
        if name != b"configuration/target-page-bits":
            raise ValueError(f"something else in its configuration: {name!r}")
        version, bits = reader.take(4), reader.take(4)
        if 1 << _NUMBER.unpack(bits)[0] != _PAGE_BYTES:
            raise ValueError("pages of another size")
        read += head + name + version + bits
    return read


def _walk_section(reader: _Reader, last: bytes) -> Iterator[_Part]:
    """Yield the items in one part of the section "ram".

    Args:
        last: the block of the previous page, to which the next page may belong without naming it.
    """
    while True:
        word = reader.word()
        flags, value = word & _FLAGS, word & ~_FLAGS
        if flags == _STOP:
            yield 0, b"", 0, 0, _WORD.pack(word)
            return
        if flags == _SIZES:
            yield 0, b"", 0, 0, _WORD.pack(word)
            while value > 0:
                at = reader.at + 1
                name, length = reader.name(), reader.word()
                yield _SIZES, name, at, length, b""
                value -= length
            continue
        kind = flags & ~_SAME
        if kind not in (_PAGE, _FILL):
            raise ValueError(f"pages of another kind: {flags:#x}")
        at = 0
        if not flags & _SAME:
            at, last = reader.at + 1, reader.name()
        yield kind, last, at, value, reader.take(_PAGE_BYTES if kind == _PAGE else 1)
