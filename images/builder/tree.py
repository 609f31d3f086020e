"""A small file system as a value, and the two forms a guest can take it in: cpio (initramfs) and ext4 (disk).

Knows file types, modes and the two formats. Owners are always root and times always `EPOCH`, whoever builds and when:
that is what makes two builds equal.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder.tools import BuildError, run

#: The time of every file: 2024-01-01 00:00 UTC.
EPOCH = 1704067200

#: Only what a small growable disk needs; named one by one, since the defaults differ between releases.
EXT4_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,"
    "sparse_super,large_file,huge_file,dir_nlink,extra_isize"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or symbolic link; `data` is the content, or the target of a link."""

    mode: int
    data: bytes = b""


class Tree:
    """Entries by path (no leading slash); the folders on the way are made by themselves."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Make a folder and its parents."""
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) != ".":
                self.entries.setdefault(str(parent), Entry(mode=stat.S_IFDIR | 0o755))
        self.entries[path] = Entry(mode=stat.S_IFDIR | mode)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Put a file there."""
        self._parent(path)
        self.entries[path] = Entry(mode=stat.S_IFREG | mode, data=data)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link there, unless something is there already."""
        self._parent(path)
        self.entries.setdefault(path, Entry(mode=stat.S_IFLNK | 0o777, data=target.encode()))

    def copy(self, source: Path) -> None:
        """Copy a folder of text files from the recipe; those that begin with `#!` are programs."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                data = file.read_bytes()
                mode = 0o755 if data.startswith(b"#!") else 0o644
                self.file(file.relative_to(source).as_posix(), data, mode)

    def _parent(self, path: str) -> None:
        parent = PurePosixPath(path).parent
        if str(parent) != "." and str(parent) not in self.entries:
            self.folder(str(parent))


def cpio(entries: Mapping[str, Entry]) -> bytes:
    """Return the entries as a cpio archive in the `newc` form, which the kernel unpacks as its initramfs."""
    parts: list[bytes] = []
    ended = {**dict(sorted(entries.items())), "TRAILER!!!": Entry(mode=0)}
    for number, (path, entry) in enumerate(ended.items(), 1):
        name = path.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, EPOCH, len(entry.data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        parts += [head, bytes(-len(head) % 4), entry.data, bytes(-len(entry.data) % 4)]
    return b"".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ext4Tools:
    """The words that start e2fsprogs' two programs; their version decides about bytes of the image."""

    mke2fs: Sequence[str]
    debugfs: Sequence[str]


def ext4(
    entries: Mapping[str, Entry], image: Path, *, capacity: int, label: str, uuid: str, scratch: Path, tools: Ext4Tools
) -> None:
    """Write the entries as an ext4 file system of `capacity` bytes into a new, sparse raw image.

    `debugfs` puts the files in, not `mke2fs -d`: so owners are root without being root, and all times are `EPOCH`.

    Raises:
        BuildError: the files do not fit, or a tool failed.
    """
    scratch.mkdir()
    with image.open("xb") as file:
        file.truncate(capacity)
    clock = {"E2FSPROGS_FAKE_TIME": str(EPOCH), "SOURCE_DATE_EPOCH": str(EPOCH), "MKE2FS_CONFIG": "/dev/null"}
    options = f"hash_seed={uuid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    layout = ["-O", EXT4_FEATURES, "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-J", "size=4"]
    run([*tools.mke2fs, "-qF", "-t", "ext4", *layout, "-L", label, "-U", uuid, "-E", options, image], environment=clock)
    script: list[str] = []
    for number, (path, entry) in enumerate(sorted(entries.items())):
        if stat.S_ISDIR(entry.mode):
            script.append(f"mkdir /{path}")
        elif stat.S_ISLNK(entry.mode):
            script.append(f"symlink /{path} {entry.data.decode()}")
        else:
            (scratch / str(number)).write_bytes(entry.data)
            script.append(f'write "{scratch / str(number)}" /{path}')
        if not stat.S_ISLNK(entry.mode):
            script.append(f"set_inode_field /{path} mode 0{entry.mode:o}")
    listing = scratch / "script"
    listing.write_text("\n".join(script) + "\n")
    run([*tools.debugfs, "-w", "-f", listing, image], environment=clock)
    missing = absent(entries, image, debugfs=tools.debugfs)
    if missing:
        raise BuildError("{file} did not fit into a disk of {size} MiB.", file=missing[0], size=capacity >> 20)


def absent(entries: Mapping[str, Entry], image: Path, *, debugfs: Sequence[str]) -> list[str]:
    """Return the paths that are not in the image with their full length: debugfs tells nobody what it could not do."""
    script = "".join(f"stat /{path}\n" for path in sorted(entries))
    shown = run([*debugfs, "-f", "/dev/stdin", image], stdin=script.encode()).decode()
    answers = shown.split("debugfs: stat /")[1:]
    return [
        path
        for path, answer in zip(sorted(entries), answers, strict=True)
        if "Inode: " not in answer
        or (stat.S_ISREG(entries[path].mode) and f"Size: {len(entries[path].data)}\n" not in answer)
    ]
