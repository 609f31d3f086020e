"""What files and images hold, by hash, found out once for each content.

Knows: files, qemu-img. Must not know: labs, acts.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from labkit.model.state import LabState
from tests.beside.tools import run_tool


@dataclass(slots=True)
class Reading:
    """Reads files, and images as a guest would."""

    _contents: dict[tuple[str, ...], str] = field(default_factory=dict)
    _digests: dict[tuple[object, ...], str] = field(default_factory=dict)

    def digest(self, path: Path) -> str:
        """The hash of a file's bytes; read once as long as nothing has touched it."""
        info = path.stat()
        key = (str(path), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if key not in self._digests:
            self._digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._digests[key]

    def content(self, state: LabState, path: str) -> str:
        """What a guest would read, by hash; asked of qemu-img once for each content of the files of a chain."""
        key, below = [], state.images.get(path)
        while below is not None:
            key.append(self.digest(Path(below.path)))
            below = state.images.get(below.backing) if below.backing else None
        if tuple(key) not in self._contents:
            format = state.images[path].format.driver
            with tempfile.NamedTemporaryFile(prefix="content-") as raw:
                run_tool("qemu-img", "convert", "-f", format, "-O", "raw", path, raw.name)
                self._contents[tuple(key)] = hashlib.sha256(Path(raw.name).read_bytes()).hexdigest()
        return self._contents[tuple(key)]


def told(state: LabState) -> str:
    """Who stands on whom, for whoever has to find out what went wrong."""
    names = {path: Path(image.backing or "-").name for path, image in state.images.items()}
    lines = [f"{Path(path).name} on {below}" for path, below in names.items()]
    lines += [
        f"{name} uses {[Path(disk.path).name for disk in facts.spec.disks]}" for name, facts in state.machines.items()
    ]
    lines += [
        f"{name} is {facts.state}, and has {[Path(disk.path).name for disk in facts.live.disks]} open"
        for name, facts in state.machines.items()
        if facts.live
    ]
    for machine, tree in state.snapshots.items():
        lines += [
            f"{machine}@{node.name} keeps {[Path(disk.path).name for disk in node.disks]}" for node in tree.values()
        ]
    return "\n".join(["", *lines, ""])
