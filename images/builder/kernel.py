"""The Linux kernel as packages bring it: its compressed image, its modules.

Knows the x86 boot protocol's header, the compressions a kernel or a module may use, and where a module's signature is.
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
from collections.abc import Iterable
from pathlib import Path

from builder.tools import BuildError, run

SIGNATURE = b"~Module signature appended~\n"


def unpack_kernel(packed: bytes) -> bytes:
    """Return the ELF file inside a bzImage: QEMU starts it by its PVH entry and nothing needs unpacking at boot.

    Raises:
        BuildError: not a bzImage, or compressed in an unknown way.
    """
    if packed[0x202:0x206] != b"HdrS":
        raise BuildError("The kernel package holds no x86 kernel image.")
    start = ((packed[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", packed, 0x248)
    payload = packed[start + offset : start + offset + length]
    size = struct.unpack("<I", payload[-4:])[0]  # the kernel's build appends the unpacked size
    kernel = unpack(payload[:-4])
    if kernel[:4] != b"\x7fELF" or len(kernel) != size:
        raise BuildError("The kernel did not unpack to an ELF file.")
    return kernel


def unpack(data: bytes) -> bytes:
    """Return the data without its compression, whichever it is (none, gzip, xz, lzma, lz4, zstd)."""
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:6] == b"\xfd7zXZ\0" or data[:3] == b"\x5d\0\0":
        return lzma.decompress(data)
    if data[:4] in (b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18"):
        return run(["lz4", "-dc"], stdin=data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return run(["zstd", "-dcq"], stdin=data)
    if data[:4] == b"\x7fELF":
        return data
    raise BuildError(
        "The kernel is compressed in a way that is not known (it begins with {beginning}).", beginning=data[:4].hex()
    )


def load_order(folder: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return the modules and all they depend on, by name, in an order in which they can be loaded.

    A module that the kernel has built in is left out. Each comes uncompressed and without its signature:
    checking one takes long under emulation, and nothing asks for it.

    Args:
        folder: `lib/modules/RELEASE` of the kernel's package.
        wanted: names, with `-` or `_`.

    Raises:
        BuildError: the kernel has no such module.
    """
    files = {file.name.split(".")[0].replace("-", "_"): file for file in folder.rglob("*.ko*")}
    builtin = (folder / "modules.builtin").read_text().replace("-", "_")
    ordered: dict[str, bytes] = {}

    def visit(name: str) -> None:
        name = name.replace("-", "_")
        if name in ordered or f"/{name}.ko\n" in builtin:
            return
        if name not in files:
            raise BuildError("The kernel in {folder} has no module {name}.", folder=folder.name, name=name)
        module = without_signature(unpack(files[name].read_bytes()))
        found = re.search(rb"\0depends=([^\0]*)\0", module)
        for other in found[1].decode().split(",") if found and found[1] else ():
            visit(other)
        ordered[name] = module

    for name in wanted:
        visit(name)
    return ordered


def without_signature(module: bytes) -> bytes:
    """Return a kernel module without the signature at its end, if it has one."""
    if not module.endswith(SIGNATURE):
        return module
    length = struct.unpack_from(">I", module, len(module) - len(SIGNATURE) - 4)[0]
    return module[: -len(SIGNATURE) - 12 - length]
