"""How a lab stands: all that an act on snapshots may change, as one value to compare, contents by hash.

Knows: how to look. Must not know: which act was carried out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from labkit import Lab
from labkit.engine.seals import find_changed
from labkit.model.disk import chain
from labkit.model.image import ImageFacts
from labkit.model.machine import MachineSpec, MachineState
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from tests.snapshots.test_guests import hash_content


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A lab, and one machine of it.

    Attributes:
        state, spec, live: of the machine. tree, current: its snapshots, without the time they were taken.
        roots: names of the images that somebody needs for themselves.
        images: by file name: format, what is below, whether it is closed for writing, what a guest reads.
        files: names in the folders of disks and memory. memories: the hash of each memory file.
        changed: frozen images that do not fit their seals.
    """

    state: MachineState
    spec: MachineSpec
    live: tuple[str, ...]
    tree: dict[str, SnapshotFacts]
    current: str | None
    roots: frozenset[str]
    images: dict[str, tuple[object, ...]]
    files: tuple[str, ...]
    memories: dict[str, str]
    changed: tuple[str, ...]


@dataclass(slots=True)
class Eye:
    """Looks at a lab; what files hold is found out once for each content."""

    lab: Lab
    machine: str = "web"
    _known: dict[tuple[str, ...], str] = field(default_factory=dict)
    _hashes: dict[tuple[object, ...], str] = field(default_factory=dict)

    def look(self, *, tolerant: bool = False) -> Standing:
        """Return how the lab stands; what no act of ours may leave is an error here, unless `tolerant`."""
        home, state = self.lab.home, self.lab.state
        machine, tree = state.machines[self.machine], state.snapshots.get(self.machine)
        nodes = tree.nodes if tree else {}
        alive = {image.path for root in state.roots for image in chain(state.images, root)}
        below = {image.path for root in state.roots for image in chain(state.images, root)[1:]} | state.kept
        left = {
            "acts in the journal": [path.name for path in (home / "journal").iterdir()],
            "files of nobody": state.strays,
            "images of nobody": set(state.images) ^ alive,
            "frozen images open to writing": [path for path in below if not state.images[path].frozen],
        }
        assert tolerant or not any(left.values()), f"left are {left}"
        return Standing(
            state=machine.state,
            spec=machine.spec,
            live=tuple(disk.path for disk in machine.live.disks) if machine.live else (),
            tree={name: replace(node, created=0) for name, node in sorted(nodes.items())},
            current=tree.current if tree else None,
            roots=frozenset(Path(root).name for root in state.roots),
            images={Path(path).name: self._image(state, image) for path, image in sorted(state.images.items())},
            files=tuple(sorted(path.name for name in ("disks", "memory") for path in (home / name).iterdir())),
            memories={Path(path).name: self._hash(Path(path)) for path in sorted(state.memories)},
            changed=tuple(find_changed(home / "disks", sorted(below))),
        )

    def _image(self, state: LabState, image: ImageFacts) -> tuple[object, ...]:
        backing = Path(image.backing).name if image.backing else None
        return image.format, backing, image.frozen, self._content(state, image)

    def _content(self, state: LabState, image: ImageFacts) -> str:
        files = [file for layer in chain(state.images, image.path) for file in layer.files]
        key = tuple(self._hash(Path(file)) for file in files)
        if key not in self._known:
            self._known[key] = hash_content(image.path, image.format.driver)
        return self._known[key]

    def _hash(self, file: Path) -> str:
        info = file.stat()
        key = (str(file), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(file.read_bytes()).hexdigest()
        return self._hashes[key]


def without_new_memory(standing: Standing, before: Standing) -> Standing:
    """The standing without the content of memories that were not there before: no two are alike."""
    return replace(
        standing,
        memories={name: hash_ if name in before.memories else "" for name, hash_ in standing.memories.items()},
    )


def without_power(standing: Standing) -> Standing:
    """The standing of a machine whose power was cut, where it ran or was saved."""
    return replace(standing, state=MachineState.OFF, live=())


def without_layers(standing: Standing) -> Standing:
    """The standing without what a merge may leave as it was: layers that nobody needs for themselves."""
    images = {name: facts for name, facts in standing.images.items() if name in standing.roots}
    return replace(
        standing, files=(), images={name: (closed, held) for name, (_format, _below, closed, held) in images.items()}
    )
