"""The model that random acts are compared with: what each state of each machine holds, and how that is read.

Knows: images, and what their blocks hold. Must not know: acts, plans.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from labkit.model.state import LabState
from labkit.units import KIB

BLOCK = 64 * KIB
BLOCKS = 16
CAPACITY = BLOCK * BLOCKS

Content = tuple[int, ...]
"""What a disk holds: one byte value for each block."""

EMPTY: Content = (0,) * BLOCKS


@dataclass(slots=True, kw_only=True)
class Known:
    """What is known of a machine.

    Attributes:
        now: what its disks hold, by name. kept, memories, parents: of each snapshot what its disks hold, the memory
            that its configuration has, the snapshot before it. current: where the current state began.
    """

    now: dict[str, Content] = field(default_factory=dict)
    kept: dict[str, dict[str, Content]] = field(default_factory=dict)
    memories: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    current: str | None = None


def data_disks(disks: Iterable[DiskSpec]) -> list[DiskSpec]:
    """Return the disks that the model follows: all but those guests boot from, whose names may end in a number."""
    return [spec for spec in disks if not re.search(r"\.vda(-\d+)?$", spec.name)]


def images_of(state: LabState, machine: str) -> set[str]:
    """Return the images that a machine and its snapshots name."""
    nodes = state.tree_of(machine).nodes.values()
    points = [state.machines[machine].spec.disks, *(node.disks for node in nodes)]
    return {disk.path for disks in points for disk in disks}


class Contents:
    """What images hold; asked of qemu-img once for each content of the files of a chain."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Content] = {}

    def reader(self, state: LabState) -> Callable[[str], Content]:
        """Return what reads, as a guest would, the images of a lab as it is now; each file is looked at once."""
        hashes: dict[str, str] = {}

        def hash_of(file: str) -> str:
            if file not in hashes:
                hashes[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
            return hashes[file]

        def read(path: str) -> Content:
            files: list[str] = []
            below: str | None = path
            while below is not None:
                files += [hash_of(file) for file in state.images[below].files]
                below = state.images[below].backing
            key = tuple(files)
            if key not in self._known:
                self._known[key] = read_content(path, state.images[path].format)
            return self._known[key]

        return read


def read_content(path: str, format: Format) -> Content:
    """Return what an image, with all below it, holds."""
    with tempfile.NamedTemporaryFile(prefix="content-") as raw:
        subprocess.run(["qemu-img", "convert", "-f", format.driver, "-O", "raw", path, raw.name], check=True)
        data = Path(raw.name).read_bytes()
    blocks = [data[at * BLOCK : (at + 1) * BLOCK] for at in range(BLOCKS)]
    assert all(len(set(block)) == 1 for block in blocks)
    return tuple(block[0] for block in blocks)
