"""Snapshots as values: points in a machine's past, in a tree; an image is the stretch between points.

Knows: the words of the course. Must not know: libvirt, XML, files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.units import Shown, check_text


class SnapshotKind(StrEnum):
    """What a snapshot keeps besides configuration and disks."""

    OFF = "off"
    """Taken while the machine was off: nothing else."""
    RUNNING = "running"
    """Also memory and devices: the guest goes on from that instant."""
    PAUSED = "paused"
    """The same, and the guest stays paused."""
    DISK_ONLY = "disk-only"
    """Taken while it ran, without its memory: as after a power cut."""


def snapshot_word(kind: SnapshotKind) -> str:
    """Return the word for the state that a snapshot was taken in."""
    return {
        SnapshotKind.OFF: _("off"),
        SnapshotKind.RUNNING: _("running"),
        SnapshotKind.PAUSED: _("paused"),
        SnapshotKind.DISK_ONLY: _("disks only"),
    }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """A snapshot of a machine.

    Attributes:
        name, description: as given. parent: the name of the snapshot before it, or None.
        created: seconds since 1970. kind: what it keeps.
        spec: the configuration it restores; its disks are the frozen images.
        memory: absolute path of the file that holds the memory, or None.
        said: the last line on the guest's console at that time; empty if there was none, or the guest was off.
        qemu: the version of QEMU that wrote the memory, such as "7.2.22"; empty where it is not known.
        excuse: why labkit cannot work with it (another tool took it in another way), or None.
    """

    name: str
    description: str
    parent: str | None
    created: int
    kind: SnapshotKind
    spec: MachineSpec
    memory: str | None = None
    said: str = ""
    qemu: str = ""
    excuse: str | None = None

    @property
    def disks(self) -> tuple[DiskSpec, ...]:
        """Its disks: targets and frozen images."""
        return self.spec.disks

    @property
    def identity(self) -> tuple[int, str | None, tuple[str, ...]]:
        """What distinguishes it from other snapshots, whatever its name: when it was taken, its memory, its images."""
        return self.created, self.memory, tuple(disk.path for disk in self.disks)

    @property
    def has_memory(self) -> bool:
        """Whether the guest goes on from that instant when it is restored."""
        return self.memory is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTree(Mapping[str, SnapshotFacts]):
    """The snapshots of a machine.

    Attributes:
        nodes: by name, parents before children, siblings by age.
        current: the name of the snapshot the current state began from, or None.
    """

    nodes: Mapping[str, SnapshotFacts] = field(default_factory=dict)
    current: str | None = None

    def __getitem__(self, name: object) -> SnapshotFacts:
        if not isinstance(name, str) or name not in self.nodes:
            raise NotFound(
                _("There is no snapshot {name!r} in this tree.").format(name=Shown(name)),
                _("There are: {names}.").format(names=", ".join(self.nodes) or _("none yet")),
            )
        return self.nodes[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def children(self, name: str | None) -> tuple[str, ...]:
        """Return the names of a snapshot's children (of None: the roots), oldest first."""
        _check(name)
        return tuple(node.name for node in self.nodes.values() if node.parent == name)

    def branch(self, name: str) -> tuple[str, ...]:
        """Return the names of a snapshot and of all its descendants, parents first."""
        check_text(name, what="name")
        below = (deeper for child in self.children(name) for deeper in self.branch(child))
        return (name, *below)

    def path(self, name: str | None) -> tuple[str, ...]:
        """Return the names from the root to a snapshot, itself included; empty for None."""
        _check(name)
        names: list[str] = []
        while name is not None and name in self.nodes:
            names.append(name)
            name = self.nodes[name].parent
        return tuple(reversed(names))

    def text(self, notes: Mapping[str, str] | None = None) -> str:
        """Return the tree as `tree` draws it, the current state marked.

        Args:
            notes: words to add after snapshots, by name.
        """
        if not isinstance(notes, Mapping | None):
            raise BadInput(
                _("{what}={value!r} is no table.").format(what="notes", value=Shown(notes)),
                _("Give a dict."),
            )
        if not self.nodes:
            return "(" + _("no snapshots") + ")"
        return "\n".join(self._lines(None, "", notes or {}))

    def _lines(self, parent: str | None, indent: str, notes: Mapping[str, str]) -> Iterator[str]:
        children = self.children(parent)
        here = [None] if self.current == parent and self.nodes else []
        entries: list[str | None] = [*children, *here]
        for index, name in enumerate(entries):
            last = index == len(entries) - 1
            tip, below = ("", "") if parent is None else (("└─ ", "   ") if last else ("├─ ", "│  "))
            if name is None:
                yield f"{indent}{tip}* " + _("you are here")
                continue
            note = f" {notes[name]}" if notes.get(name) else ""
            yield f"{indent}{tip}{name} ({snapshot_word(self.nodes[name].kind)}){note}"
            yield from self._lines(name, indent + below, notes)


def _check(name: str | None) -> None:
    if name is not None:
        check_text(name, what="name")


def sort_nodes(nodes: Mapping[str, SnapshotFacts]) -> dict[str, SnapshotFacts]:
    """Return snapshots with parents before children, siblings by age and name."""
    by_parent: dict[str | None, list[SnapshotFacts]] = {}
    for node in sorted(nodes.values(), key=lambda node: (node.created, node.name)):
        by_parent.setdefault(node.parent if node.parent in nodes else None, []).append(node)
    ordered: dict[str, SnapshotFacts] = {}
    waiting = list(reversed(by_parent.get(None, [])))
    while waiting:
        node = waiting.pop()
        ordered[node.name] = node
        waiting += reversed(by_parent.get(node.name, []))
    return ordered
