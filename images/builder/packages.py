"""The distribution's packages: find, download, unpack, and collect the libraries that a program links.

Knows apt, dpkg and ELF dynamic sections. Nothing is installed and no root is needed: packages are only unpacked.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.tools import BuildError, run, say

LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib")


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
        raise BuildError(f"No package holds {path}: this release of the distribution is not known to the recipe.")

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

    def _library(self, name: str) -> Path:
        for folder in LIBRARY_FOLDERS:
            if (self.root / folder / name).is_file():
                return self.root / folder / name
        raise BuildError(f"No package holds the library {name}.")


def closure(names: Iterable[str], *, follow: re.Pattern[str]) -> list[str]:
    """Return the packages and, again and again, those of their dependencies whose name matches `follow`.

    Raises:
        BuildError: a package is not known to apt.
    """
    names = list(names)
    try:
        text = run(["apt-cache", "depends", "--recurse", "--important", *names]).decode()
    except BuildError as error:
        raise BuildError(f"Not all packages are known here, run apt-get update first ({error}).") from error
    depends = parse_depends(text)
    found: set[str] = set()
    waiting = names
    while waiting:
        name = waiting.pop()
        if name not in depends:
            raise BuildError(f"The package {name} is not known here: run apt-get update first.")
        if name not in found:
            found.add(name)
            waiting += [other for other in depends[name] if follow.fullmatch(other)]
    return sorted(found)


def parse_depends(text: str) -> dict[str, list[str]]:
    """Return the direct dependencies of each package in the output of `apt-cache depends --recurse`."""
    depends: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line and not line[0].isspace():
            current = depends.setdefault(line.strip(), [])
        elif found := re.match(r"  (?:Pre)?Depends: ([^<\s]+)$", line):
            current.append(found[1])
    return depends


def fetch(names: list[str], *, into: Path) -> Packages:
    """Download packages into a folder and unpack them there.

    Raises:
        BuildError: no network, an unknown package, or no space.
    """
    say(f"  downloading {len(names)} packages")
    into.mkdir(parents=True)
    unsandboxed = ["-o", "APT::Sandbox::User=root"]
    try:
        run(["apt-get", *unsandboxed, "--quiet", "download", *names], folder=into)
    except BuildError as error:
        if "space left" in str(error) or "is missing" in str(error):
            raise
        raise BuildError(f"The packages could not be downloaded, is there a network? ({error})") from error
    root = into / "root"
    versions: dict[str, str] = {}
    say("  unpacking them")
    for archive in sorted(into.glob("*.deb")):
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
