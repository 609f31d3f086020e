"""The header of a file with a guest's saved memory, which holds a definition: reading and replacing it.

    16 bytes "LibvirtQemudSave", five little-endian numbers (version, bytes of the text, was running,
    compression, where the cookie begins in the text), reserved: 92 bytes; the text: the definition, NUL, the
    cookie, NUL, zeros; then QEMU's stream.

Source: libvirt, src/qemu/qemu_saveimage.h. Knows: bytes. Must not know: what the definition says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from labkit.storage.plain import opened_plain
from labkit.units import MIB

MOST_TEXT = 8 * MIB
"""The most bytes of text that are accepted."""

_MAGIC = b"LibvirtQemudSave"
_HEADER = struct.Struct("<16s5I56x")
_VERSION = 2
_STREAM = b"QEVM"
_ROOM = 1024  # bytes kept free at least, for a longer text that libvirt may write later


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHeader:
    """What precedes QEMU's stream.

    Attributes:
        xml, cookie: the definition, and what libvirt keeps beside it ("" for none).
        was_running: 0: paused, 1: running, other numbers as in libvirt. compression: libvirt's number.
        length: bytes up to the stream.
    """

    xml: str
    cookie: str
    was_running: int
    compression: int
    length: int = 0


def parse_header(start: bytes) -> MemoryHeader:
    """Return the header from the first bytes of a memory file, at least as many as `header_bytes` says.

    Raises:
        ValueError: it is not a memory file, or of another version.
    """
    text_length = _text_length(start)
    _magic, _version, _length, was_running, compression, cookie_at = _HEADER.unpack_from(start)
    text = start[_HEADER.size : _HEADER.size + text_length]
    if len(text) < text_length or cookie_at >= text_length:
        raise ValueError("cut short")
    return MemoryHeader(
        xml=text.split(b"\0", 1)[0].decode(),
        cookie=text[cookie_at:].split(b"\0", 1)[0].decode() if cookie_at else "",
        was_running=was_running,
        compression=compression,
        length=_HEADER.size + text_length,
    )


def header_bytes(start: bytes) -> int:
    """Return how many bytes precede the stream, from the first 92 bytes of a memory file.

    Raises:
        ValueError: it is not a memory file.
    """
    return _HEADER.size + _text_length(start)


def build_header(header: MemoryHeader, *, length: int | None = None) -> bytes:
    """Return the bytes of a header; inverse of `parse_header`.

    Args:
        length: how many bytes there must be; None: as many as needed.

    Raises:
        ValueError: more are needed.
    """
    xml, cookie = header.xml.encode() + b"\0", header.cookie.encode() + b"\0" if header.cookie else b""
    text = xml + cookie
    room = -(-(len(text) + _ROOM) // _ROOM) * _ROOM if length is None else length - _HEADER.size
    if len(text) > room:
        raise ValueError("no room for its text")
    cookie_at = len(xml) if cookie else 0
    numbers = (_VERSION, room, header.was_running, header.compression, cookie_at)
    return _HEADER.pack(_MAGIC, *numbers) + text.ljust(room, b"\0")


def read_header(path: Path) -> MemoryHeader:
    """Return the header of a memory file.

    Raises:
        ValueError: it has none, or one of another version. OSError: it cannot be read.
    """
    with opened_plain(path, follow=True) as file:
        start = file.read(_HEADER.size)
        return parse_header(start + file.read(header_bytes(start) - len(start)))


def has_stream(path: Path, header: MemoryHeader) -> bool:
    """Whether QEMU's stream begins after a memory file's header; of a compressed one, whether there is anything.

    Raises:
        OSError: it cannot be read.
    """
    with opened_plain(path, follow=True) as file:
        file.seek(header.length)
        start = file.read(len(_STREAM))
    return bool(start) if header.compression else start == _STREAM


def exchange_header(path: Path, header: MemoryHeader) -> None:
    """Write another header into a memory file, in the room that libvirt has left; the stream stays where it is.

    Args:
        header: with the `length` of the present one.

    Raises:
        ValueError: there is no room for it. OSError: it cannot be written.
    """
    start = build_header(header, length=header.length)
    with path.open("r+b") as file:
        file.write(start)


def _text_length(start: bytes) -> int:
    if len(start) < _HEADER.size:
        raise ValueError("cut short")
    magic, version, length, *_rest = _HEADER.unpack_from(start)
    if magic != _MAGIC or version != _VERSION or not 0 < length <= MOST_TEXT:
        raise ValueError("not a memory file")
    return int(length)
