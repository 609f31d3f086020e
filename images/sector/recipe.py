"""The recipe of `sector`: one boot sector, assembled from `sector.S`, on a small disk.

Knows where in the sector the message lies, so that it can be changed later without an assembler.
"""

from __future__ import annotations

from pathlib import Path

from builder.store import Manifest, Store
from builder.tools import BuildError, run, say

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
CAPACITY = 1 * MIB
#: The message's place in the sector, in bytes; `sector.S` reserves it and a zero byte after it.
MESSAGE_OFFSET, MESSAGE_LENGTH = 400, 109


def build(store: Store, scratch: Path) -> Manifest:
    """Build the image; return its part of the manifest.

    Raises:
        BuildError: the assembler is missing, or the message is too long.
    """
    say("  assembling the boot sector")
    object_file, sector = scratch / "sector.o", scratch / "sector.bin"
    run(["as", "--32", "-o", object_file, HERE / "sector.S"])
    run(["ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", sector, object_file])
    code = sector.read_bytes()
    if len(code) != 512 or code[510:] != b"\x55\xaa":
        raise BuildError("sector.S does not make a boot sector: {count} bytes.", count=len(code))
    disk = scratch / "disk.raw"
    disk.write_bytes(with_message(code, (HERE / "message.txt").read_text().strip()).ljust(CAPACITY, b"\0"))
    return {
        "boot": "bios",
        "kernel": None,
        "kernel_packed": None,
        "initramfs": None,
        "command_line": "",
        "disk": {"file": store.keep("disk.raw", disk), "format": "raw", "capacity": CAPACITY},
        "minimum_memory": 4 * MIB,  # below, the firmware does not find room for itself
        "agent": False,
        "prompt": None,
        "message": {"offset": MESSAGE_OFFSET, "length": MESSAGE_LENGTH},
        "packages": {},
    }


def with_message(sector: bytes, message: str) -> bytes:
    """Return the sector with the message in its place, filled up with zeros.

    Raises:
        BuildError: it takes more than `MESSAGE_LENGTH` bytes in UTF-8.
    """
    data = message.encode()
    if len(data) > MESSAGE_LENGTH:
        raise BuildError(
            "The message takes {count} bytes; the sector has room for {room}.", count=len(data), room=MESSAGE_LENGTH
        )
    return sector[:MESSAGE_OFFSET] + data.ljust(MESSAGE_LENGTH, b"\0") + sector[MESSAGE_OFFSET + MESSAGE_LENGTH :]
