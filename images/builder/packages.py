"""Packages that are only unpacked, never installed: their files, the libraries a program links, running a program.

Knows dpkg's archives and ELF dynamic sections. Must not know where packages come from; no root is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import architecture
from builder.tools import BuildError, run, say

LIBRARY_FOLDERS = (
    f"lib/{architecture.TRIPLET}",
    f"usr/lib/{architecture.TRIPLET}",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """Packages unpacked over one another, as a file system would show them.

    `root` is that folder, `versions` the version of each package by name.
    """

    root: Path
    versions: dict[str, str]

    def find(self, path: str) -> Path:
        """Return the file at `path` (as in the guest, with or without a merged /usr).

        Raises:
            BuildError: no unpacked package holds it.
        """
        for candidate in (path, f"usr/{path}", path.removeprefix("usr/")):
            if (self.root / candidate).is_file():
                return self.root / candidate
        raise BuildError("No package holds {path}: the recipe does not know this release of Debian.", path=path)

    def libraries(self, programs: Iterable[Path]) -> dict[str, Path]:
        """Return every shared library the programs need, and the dynamic loader, by file name."""
        found: dict[str, Path] = {}
        waiting = [name for program in programs for name in needed(program)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._library(name)
                waiting += needed(found[name])
        return dict(sorted(found.items()))

    def program(self, path: str) -> list[str]:
        """Return the words that start a program out of these packages, with its own libraries, on any host."""
        program = self.find(path)
        loader = self._library(architecture.LOADER)
        folders = ":".join(str(self.root / folder) for folder in LIBRARY_FOLDERS)
        return [str(loader), "--library-path", folders, str(program)]

    def _library(self, name: str) -> Path:
        for folder in LIBRARY_FOLDERS:
            if (self.root / folder / name).is_file():
                return self.root / folder / name
        raise BuildError("No package holds the library {name}.", name=name)


def unpack(archives: Iterable[Path], *, root: Path) -> Packages:
    """Unpack packages over one another into a folder.

    Raises:
        BuildError: no space.
    """
    say("  unpacking them")
    versions: dict[str, str] = {}
    for archive in archives:
        run(["dpkg-deb", "--extract", archive, root])
        shown = run(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", archive]).decode()
        name, version = shown.split()
        versions[name] = version
    return Packages(root=root, versions=dict(sorted(versions.items())))


def needed(program: Path) -> Iterator[str]:
    """Yield the names of the libraries that an x86-64 ELF file asks for, its dynamic loader included."""
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return
    table, size, count = (struct.unpack_from(form, data, at)[0] for form, at in (("<Q", 32), ("<H", 54), ("<H", 56)))
    headers: list[tuple[int, ...]] = [struct.unpack_from("<IIQQQQ", data, table + size * n) for n in range(count)]

    def offset_of(address: int) -> int:
        loaded = (header for header in headers if header[0] == 1)  # PT_LOAD: from file to memory
        return next(offset + address - start for _, _, offset, start, _, length in loaded
                    if start <= address < start + length)  # fmt: skip

    def text_at(offset: int) -> str:
        return data[offset : data.index(b"\0", offset)].decode()

    for kind, _, offset, _, _, length in headers:
        if kind == 3:  # PT_INTERP
            yield Path(text_at(offset)).name
        if kind == 2:  # PT_DYNAMIC
            entries = list(struct.iter_unpack("<QQ", data[offset : offset + length // 16 * 16]))
            strings = next(offset_of(value) for tag, value in entries if tag == 5)
            yield from (text_at(strings + value) for tag, value in entries if tag == 1)
