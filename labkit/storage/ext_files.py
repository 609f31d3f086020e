"""The files in an ext4 file system on a disk, read from outside: by e2fsprogs, on a raw copy that is thrown away.

Only what has reached the image is seen: a guest that has it mounted may know more.
Sources: debugfs(8), dumpe2fs(8). Knows: e2fsprogs, qemu-img. Must not know: libvirt, plans, whose disk it is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LabError
from labkit.limits import Limit
from labkit.model.image import ImageFacts
from labkit.storage.plain import hash_plain
from labkit.storage.process import run

_SUPERBLOCK, _MAGIC_AT, _UUID_AT = 1024, 56, 104
_MAGIC = b"\x53\xef"
_PATH = "/usr/sbin:/sbin"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtFiles:
    """A file system: its id, the bytes it says it has, and the hashes (SHA-256) of its files by path."""

    id: str
    bytes: int
    files: Mapping[str, str]


def read_ext_files(layers: Sequence[ImageFacts]) -> ExtFiles | None:
    """Return what is in the file system of a disk; None: there is none that can be read.

    Args:
        layers: the disk's images, top → base; a guest may be writing to it.
    """
    limit = Limit(_SECONDS)
    with tempfile.TemporaryDirectory(prefix="labkit-files-") as folder:
        raw, out = Path(folder) / "disk.raw", Path(folder) / "files"
        try:
            top = layers[0]
            run(["qemu-img", "convert", "-U", "-f", top.format.driver, "-O", "raw", top.path, str(raw)], limit=limit)
            with raw.open("rb") as file:
                block = file.read(2 * _SUPERBLOCK)[_SUPERBLOCK:]
            if block[_MAGIC_AT : _MAGIC_AT + 2] != _MAGIC:
                return None
            out.mkdir()
            run([_find("e2fsck"), "-fy", str(raw)], limit=limit, accept=range(16))  # what its journal still holds
            run([_find("debugfs"), "-R", f"rdump / {out}", str(raw)], limit=limit)
            with raw.open("rb") as file:
                block = file.read(2 * _SUPERBLOCK)[_SUPERBLOCK:]
            files = {
                f"/{path.relative_to(out)}": hash_plain(path)
                for path in sorted(out.rglob("*"))
                if path.is_file() and not path.is_symlink()
            }
        except (LabError, OSError):
            return None
    size = int.from_bytes(block[4:8], "little") * (1024 << int.from_bytes(block[24:28], "little"))
    return ExtFiles(id=block[_UUID_AT : _UUID_AT + 16].hex(), bytes=size, files=files)


def _find(tool: str) -> str:
    """Return a tool of e2fsprogs: an ordinary user's PATH does not name its folder."""
    found = (Path(folder) / tool for folder in (*os.environ.get("PATH", "").split(":"), *_PATH.split(":")))
    return next((str(path) for path in found if path.is_file()), tool)
