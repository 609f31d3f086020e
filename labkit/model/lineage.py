"""Lineage: all images, snapshots and machines of a lab, and who depends on whom, across machines.

It is derived from the image headers alone: that a machine is a clone is recorded nowhere.

Knows: the model. Must not know: what is refused because of it, how it is drawn.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.model.disk import chain, layer_paths
from labkit.model.machine import Boot, MachineFacts
from labkit.model.state import LabState
from labkit.units import Shown, check_text

if TYPE_CHECKING:
    import networkx as nx


class NodeKind(StrEnum):
    """What a node of the lineage is."""

    MACHINE = "machine"
    SNAPSHOT = "snapshot"
    DISK = "disk"
    """A free disk: no machine uses it."""
    IMAGE = "image"
    MEMORY = "memory"
    """The file with the memory of a running snapshot."""
    BOOT = "boot file"
    """A kernel or an initramfs, shared by all machines of one guest image."""


@dataclass(frozen=True, slots=True, order=True)
class LineageNode:
    """A thing of the lab that others may need.

    Attributes:
        kind: what it is.
        name: a machine's or disk's name, "machine@snapshot", or the absolute path of a file.
    """

    kind: NodeKind
    name: str

    @property
    def label(self) -> str:
        """Its name, without folders."""
        return posixpath.basename(self.name)

    @property
    def machine(self) -> str | None:
        """The machine that it is, or that it is a snapshot of; or None."""
        return self.name.partition("@")[0] if self.kind in (NodeKind.MACHINE, NodeKind.SNAPSHOT) else None

    @property
    def snapshot(self) -> str | None:
        """The snapshot's own name, or None."""
        return self.name.partition("@")[2] if self.kind is NodeKind.SNAPSHOT else None

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Who depends on whom in a lab at one instant; made by `read_lineage`.

    Attributes:
        state: what it was derived from.
        named: by machine, the images that its definition, its running guest and its snapshots name directly.
        users: by image, the machines that need it: they name it, or name one that depends on it. Missing images are
            included.
    """

    state: LabState
    named: Mapping[str, frozenset[str]]
    users: Mapping[str, frozenset[str]]

    def own(self, machine: str) -> frozenset[str]:
        """Return a machine's own images: those it names, and those it needs and nobody else does."""
        check_text(machine, what="machine")
        alone = {path for path, users in self.users.items() if users == {machine}}
        return self.named.get(machine, frozenset()) | alone

    def dependants(self, of: LineageNode | str) -> tuple[LineageNode, ...]:
        """Return the machines, snapshots and free disks that need something, sorted.

        A machine's dependants belong to *other* machines: its linked clones, their clones, and the snapshots of all
        these. A snapshot's are the machines that stand directly on it, without its own machine.

        Args:
            of: a node, or its name: "web", "web@clean", or the path of a file.

        Raises:
            NotFound: there is nothing of that name.
        """
        node = self._get(of)
        if node.kind is NodeKind.SNAPSHOT:
            clones = self.direct_clones(node.machine or "", node.snapshot or "")
            return tuple(LineageNode(NodeKind.MACHINE, name) for name in clones)
        if node.kind is NodeKind.MACHINE:
            needed = self.named.get(node.name, frozenset())
            points = (point for path in needed for point in self._points_above(path))
            return tuple(sorted({point for point in points if point.machine not in (None, node.name)}))
        if node.kind is NodeKind.DISK:
            return ()
        if node.kind is NodeKind.IMAGE:
            return tuple(sorted(set(self._points_above(node.name))))
        return tuple(sorted({need for needed, need in self._edges() if needed == node}))

    def clones(self, machine: str) -> tuple[str, ...]:
        """Return the names of the other machines that stand on a machine's images, directly or not, sorted."""
        check_text(machine, what="machine")
        needed = self.named.get(machine, frozenset())
        return tuple(sorted({user for path in needed for user in self.users.get(path, ())} - {machine}))

    def direct_clones(self, machine: str, snapshot: str) -> tuple[str, ...]:
        """Return the names of the other machines that stand directly on a snapshot's images, sorted."""
        check_text(machine, what="machine")
        check_text(snapshot, what="snapshot")
        tree = self.state.every_tree.get(machine)
        if tree is None or snapshot not in tree:
            return ()
        images = {disk.path for disk in tree[snapshot].disks}
        return tuple(name for name in self.named if name != machine and self._first_foreign(name) & images)

    def original(self, machine: str) -> str | None:
        """Return the "machine@snapshot" that a linked clone stands on, or None if the machine stands alone."""
        check_text(machine, what="machine")
        foreign = self._first_foreign(machine)
        for name, tree in self.state.every_tree.items():
            for node in tree.nodes.values():
                if name != machine and foreign & {disk.path for disk in node.disks}:
                    return f"{name}@{node.name}"
        return None

    def foreign(self, machine: str) -> frozenset[str]:
        """Return the images that a machine needs and that are not its own."""
        check_text(machine, what="machine")
        below = {path for path, users in self.users.items() if machine in users}
        return frozenset(below - self.own(machine))

    def unique_cost(self, of: LineageNode | str) -> int:
        """Return the bytes of the images that only this needs: what deleting it alone would free.

        Args:
            of: a node, or its name: "web", "web@clean", or the path of a file.

        Raises:
            NotFound: there is nothing of that name.
        """
        node = self.find(self._get(of).name)
        if node.kind is NodeKind.IMAGE:
            return 0 if self._points_above(node.name) else self.state.images[node.name].allocated
        dead = self._alive(self.state.roots) - self._alive(self._roots_without(node))
        return sum(self.state.images[path].allocated for path in dead)

    def find(self, name: str) -> LineageNode:
        """Return the node of a name: "web", "web@clean", a free disk's name, or the path of a file.

        Raises:
            NotFound: there is none.
        """
        machine, _at, snapshot = check_text(name, what="name").partition("@")
        if name in self.state.everywhere:
            return LineageNode(NodeKind.MACHINE, name)
        if snapshot in self.state.every_tree.get(machine, {}):
            return LineageNode(NodeKind.SNAPSHOT, name)
        if name in self.state.images:
            return LineageNode(NodeKind.IMAGE, name)
        disk = self.state.disks.get(name)
        if disk is not None and disk.machine is None:
            return LineageNode(NodeKind.DISK, name)
        files = {node.name: node for edge in self._edges() for node in edge if posixpath.isabs(node.name)}
        if name not in files:
            raise NotFound(
                _("There is nothing called {name!r} in this lab.").format(name=Shown(name)),
                _('Name a machine, a snapshot as "machine@snapshot", or a file.'),
            )
        return files[name]

    def graph(self) -> nx.DiGraph[LineageNode]:
        """Return the lineage as a `networkx.DiGraph`: an edge leads from what is needed to what needs it.

        Nodes are `LineageNode`s with the attributes `kind`, `label`, `machine` (or None) and, of images, `bytes`.
        """
        import networkx as nx

        graph: nx.DiGraph[LineageNode] = nx.DiGraph()
        nodes = {LineageNode(NodeKind.MACHINE, name) for name in self.state.everywhere}
        nodes |= {LineageNode(NodeKind.IMAGE, path) for path in self.state.images}
        edges = sorted(set(self._edges()))
        for node in sorted(nodes | {node for edge in edges for node in edge}):
            graph.add_node(node, kind=node.kind, label=node.label, machine=node.machine)
            if node.kind is NodeKind.IMAGE and node.name in self.state.images:
                graph.nodes[node]["bytes"] = self.state.images[node.name].allocated
        graph.add_edges_from(edges)
        return graph

    def text(self) -> str:
        """Return who stands on whom as text: each machine, with the snapshot that a linked clone stands on."""
        lines = []
        for name in self.state.everywhere:
            original = self.original(name)
            lines.append(f"{name} ← {original}" if original else name)
        return "\n".join(lines)

    def points(self) -> Iterator[tuple[LineageNode, LineageNode]]:
        """Yield each image that a machine, snapshot or free disk names directly, with that node."""
        for name, machine in self.state.everywhere.items():
            node = LineageNode(NodeKind.MACHINE, name)
            yield from ((LineageNode(NodeKind.IMAGE, path), node) for path in _images_of(machine))
            yield from ((file, node) for file in _boot_files(machine.spec.boot))
        for name, tree in self.state.every_tree.items():
            for point in tree.nodes.values():
                node = LineageNode(NodeKind.SNAPSHOT, f"{name}@{point.name}")
                yield from ((LineageNode(NodeKind.IMAGE, disk.path), node) for disk in point.disks)
                yield from ((file, node) for file in _boot_files(point.spec.boot))
                if point.memory:
                    yield LineageNode(NodeKind.MEMORY, point.memory), node
        for name, free in self.state.disks.items():
            if free.machine is None:
                yield LineageNode(NodeKind.IMAGE, free.active.path), LineageNode(NodeKind.DISK, name)

    # --- inside -----------------------------------------------------------------------------------

    def _get(self, of: LineageNode | str) -> LineageNode:
        """The node, given as itself or by its name."""
        if isinstance(of, str):
            return self.find(of)
        if not isinstance(of, LineageNode):
            raise BadInput(
                _("of={value!r} is neither a node of the lineage nor the name of one.").format(value=Shown(of)),
                _('Name a machine, a snapshot as "machine@snapshot", or a file.'),
            )
        return of

    def _edges(self) -> Iterator[tuple[LineageNode, LineageNode]]:
        """Pairs: what is needed, and what needs it."""
        for image in self.state.images.values():
            if image.backing is not None:
                yield LineageNode(NodeKind.IMAGE, image.backing), LineageNode(NodeKind.IMAGE, image.path)
        yield from self.points()

    def _points_above(self, path: str) -> list[LineageNode]:
        """The machines, snapshots and free disks that name an image or one that stands on it."""
        return [
            point
            for needed, point in self.points()
            if needed.kind is NodeKind.IMAGE and path in layer_paths(self.state.images, needed.name)
        ]

    def _first_foreign(self, machine: str) -> frozenset[str]:
        """The images of other machines right below a machine's own: the points it was cloned from."""
        own = self.own(machine)
        others = {path for name, paths in self.named.items() if name != machine for path in paths}
        found = set()
        for path in self.named.get(machine, ()):
            below = (layer for layer in layer_paths(self.state.images, path) if layer not in own)
            first = next((layer for layer in below if layer in others), None)
            if first is not None:
                found.add(first)
        return frozenset(found)

    def _roots_without(self, node: LineageNode) -> frozenset[str]:
        """The roots that are left once a node (a machine with its snapshots, a snapshot, a free disk) is gone."""
        state = self.state
        free = {disk.active.path for disk in state.disks.values() if disk.machine is None}
        if node.kind is NodeKind.DISK:
            return state.roots - {state.disks[node.name].active.path}
        kept = {
            disk.path
            for name, tree in state.every_tree.items()
            for point in tree.nodes.values()
            for disk in point.disks
            if node not in (LineageNode(NodeKind.MACHINE, name), LineageNode(NodeKind.SNAPSHOT, f"{name}@{point.name}"))
        }
        active = {
            path
            for name, machine in state.everywhere.items()
            for path in _images_of(machine)
            if node != LineageNode(NodeKind.MACHINE, name)
        }
        return frozenset(kept | active | free | state.claimed)

    def _alive(self, roots: Iterable[str]) -> set[str]:
        return {layer.path for root in roots for layer in chain(self.state.images, root)}


def read_lineage(state: LabState) -> Lineage:
    """Return the lineage of a lab."""
    named: dict[str, frozenset[str]] = {}
    users: dict[str, set[str]] = {}
    for name, machine in state.everywhere.items():
        points = state.every_tree.get(name, {}).values()
        named[name] = frozenset((*_images_of(machine), *(disk.path for point in points for disk in point.disks)))
        for path in named[name]:
            for layer in layer_paths(state.images, path):
                users.setdefault(layer, set()).add(name)
    return Lineage(state=state, named=named, users={path: frozenset(names) for path, names in users.items()})


def _images_of(machine: MachineFacts) -> frozenset[str]:
    """The images a machine writes to: as it is defined, and as it runs."""
    specs = (machine.spec, machine.live) if machine.live else (machine.spec,)
    return frozenset(disk.path for spec in specs for disk in spec.disks if not disk.served)


def _boot_files(boot: Boot) -> tuple[LineageNode, ...]:
    return tuple(LineageNode(NodeKind.BOOT, path) for path in (boot.kernel, boot.initramfs) if path)


__all__ = ["Lineage", "LineageNode", "NodeKind", "read_lineage"]
