"""QEMU's stream taken apart: a guest's memory laid out, the rest kept, and what is no such stream refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from labkit.storage.memory_stream import find_memory, split, unmap

PAGE = 4096
CONFIGURATION = b"\x07" + struct.pack(">I", 6) + b"pc-q35"
RAM, OTHER = b"pc.ram", b"pc.bios"
FILL, SIZES, WHOLE, STOP, SAME = 0x02, 0x04, 0x08, 0x10, 0x20
SECTION = struct.pack(">I", 2)
FOOT = b"\x7e" + SECTION
DEVICES = b"\x04" + b"whatever the devices say"


def word(value: int) -> bytes:
    """A number of eight bytes."""
    return struct.pack(">Q", value)


def name(text: bytes) -> bytes:
    """A name behind its length."""
    return bytes([len(text)]) + text


def stream(*parts: bytes, blocks: tuple[tuple[bytes, int], ...] = ((RAM, 4 * PAGE), (OTHER, PAGE))) -> bytes:
    """A stream as QEMU writes it, with such pages in its section of the memory."""
    sizes = b"".join(name(block) + word(length) for block, length in blocks)
    begin = b"QEVM\0\0\0\3" + CONFIGURATION + b"\x01" + SECTION + name(b"ram") + struct.pack(">II", 0, 4)
    begin += word(sum(length for _block, length in blocks) | SIZES) + sizes + word(STOP) + FOOT
    return begin + b"\x03" + SECTION + b"".join(parts) + word(STOP) + FOOT + DEVICES


def page(letter: bytes, place: int, block: bytes = b"") -> bytes:
    """A page full of a letter; without a block it is of the one before."""
    return word(place | WHOLE | (0 if block else SAME)) + (name(block) if block else b"") + letter * PAGE


def taken_apart(tmp_path: Path, data: bytes) -> tuple[bytes, bytes]:
    """The memory and the rest of a stream that begins behind 10 bytes."""
    file = tmp_path / "memory"
    file.write_bytes(b"0123456789" + data)
    with (tmp_path / "pages").open("wb") as pages, (tmp_path / "rest").open("wb") as rest:
        split(file, 10, pages, rest)
    return (tmp_path / "pages").read_bytes(), (tmp_path / "rest").read_bytes()


def test_pages_are_laid_out_and_all_else_is_kept_in_order(tmp_path: Path) -> None:
    others = page(b"x", 0, OTHER)
    parts = (page(b"a", 0, RAM), page(b"b", PAGE), others, word(3 * PAGE | FILL) + name(RAM) + b"\0")
    pages, rest = taken_apart(tmp_path, stream(*parts))
    assert pages == b"a" * PAGE + b"b" * PAGE + bytes(2 * PAGE)
    assert rest == stream(others).replace(RAM, b"labram")
    assert find_memory(tmp_path / "memory", 10).length == 4 * PAGE


def test_what_newer_systems_say_before_the_last_part_is_passed_on(tmp_path: Path) -> None:
    """From QEMU 10 on, the command "switchover start" (11, without data) stands among the parts of the memory."""
    parts = (page(b"a", 0, RAM), page(b"x", 0, OTHER))
    older, command = stream(*parts), b"\x08" + struct.pack(">HH", 11, 0)
    at = older.index(b"\x03" + SECTION)
    pages, rest = taken_apart(tmp_path, older[:at] + command + older[at:])
    assert pages == b"a" * PAGE + bytes(3 * PAGE)
    older_rest = taken_apart(tmp_path, older)[1]
    at = older_rest.index(b"\x03" + SECTION)
    assert rest == older_rest[:at] + command + older_rest[at:]
    unknown = b"\x08" + struct.pack(">HH", 7, 0)
    with pytest.raises(ValueError, match="another section"):
        taken_apart(tmp_path, older.replace(b"\x03" + SECTION, unknown + b"\x03" + SECTION))


def test_the_later_one_of_two_pages_counts_also_where_it_is_empty(tmp_path: Path) -> None:
    empty = word(PAGE | FILL | SAME) + b"\0"
    pages, _rest = taken_apart(tmp_path, stream(page(b"a", 0, RAM), page(b"b", PAGE), page(b"c", 0), empty))
    assert pages == b"c" * PAGE + bytes(3 * PAGE)


def test_what_is_empty_takes_no_room(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    taken_apart(tmp_path, stream(page(b"a", size - PAGE, RAM), blocks=((RAM, size),)))
    info = (tmp_path / "pages").stat()
    assert info.st_size == size
    assert info.st_blocks * 512 < size // 16


def test_memory_gets_its_usual_name_back_and_nothing_else_changes(tmp_path: Path) -> None:
    parts = (page(b"a", 0, RAM), page(b"x", 0, OTHER), page(b"labram", PAGE, RAM)[: PAGE + 15])
    plain = stream(*parts)
    mapped = plain[: -len(DEVICES)].replace(name(RAM), name(b"labram")) + DEVICES
    file = tmp_path / "memory"
    file.write_bytes(mapped)
    assert unmap(file, 0)
    assert file.read_bytes() == plain
    assert not unmap(file, 0)
    assert file.read_bytes() == plain


GOOD = stream(page(b"a", 0, RAM))
BAD = {
    "empty": b"",
    "nothing of the kind": bytes(PAGE),
    "cut in a page": GOOD[: -PAGE // 2],
    "cut behind the sizes": GOOD[:80],
    "without its configuration": GOOD.replace(CONFIGURATION, b""),
    "with more in its configuration": GOOD.replace(CONFIGURATION, CONFIGURATION + b"\x05" + name(b"configuration/x")),
    "of another section first": GOOD.replace(name(b"ram"), name(b"vga")),
    "with compressed pages": GOOD.replace(word(WHOLE), word(0x100)),
    "without a foot": GOOD.replace(FOOT, b"\x7e" + b"\0\0\0\7", 1),
    "without a guest's memory": GOOD.replace(RAM, b"nobody"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_stream_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "memory"
    file.write_bytes(data)
    with (tmp_path / "pages").open("wb") as pages, pytest.raises(ValueError, match=r"\w"):
        split(file, 0, pages, io.BytesIO())
