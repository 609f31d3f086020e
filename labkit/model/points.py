"""The lineage as a forest of points: what can be gone back to, what goes on being written, and the images between.

A *point* is a snapshot, the current state of a machine, a free disk, or a layer that belongs to none of these although
several things stand on it. Between a point and the one below it lie the images written in that time: a *stretch* for
each disk. Both the drawing and the panel of the lineage walk this forest, in this order.

Knows: the lineage. Must not know: how it is drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.model.disk import find_missing, layer_paths
from labkit.model.lineage import Lineage, LineageNode, NodeKind
from labkit.model.snapshot import SnapshotKind

if TYPE_CHECKING:
    import networkx as nx

FEWEST_GROUPED = 4
"""From how many equal siblings on they are shown as one."""

_DIGITS = re.compile(r"(\d+)")
_DIGEST = re.compile(r"^[0-9a-f]{16,}-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of the lineage.

    Attributes:
        node: what it is; of kind IMAGE for a layer without a name.
        below: the point it stands on, or None if its images stand on nothing.
        depth: how many points lie below it.
        stretches: for each disk the images between `below` and here, top → base, absolute paths; of a group, those of
            its first point. images: all of them, of a group those of all its points.
        kind: what it keeps, if it is a snapshot; else None.
        missing: images of its own stretches that are not there, absolute paths.
        lost: the missing images that it needs, also below its own.
        is_linked: whether it stands on a point of another machine. of_clone: whether it does, or a point of the same
            machine below it.
        equals: the nodes that are shown as this one: itself first, then its equal siblings, if any.
    """

    node: LineageNode
    below: LineageNode | None = None
    depth: int = 0
    stretches: tuple[tuple[str, ...], ...] = ()
    images: tuple[str, ...] = ()
    kind: SnapshotKind | None = None
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    is_linked: bool = False
    of_clone: bool = False
    equals: tuple[LineageNode, ...] = ()

    @property
    def name(self) -> str:
        """Its name, or the span of names of the group it stands for, e.g. "seat-01 … seat-20"."""
        if len(self.equals) < 2:
            return self.node.label
        return f"{self.equals[0].label} … {self.equals[-1].label}"

    @property
    def is_frozen(self) -> bool:
        """Whether nobody writes to its images any more."""
        return self.node.kind in (NodeKind.SNAPSHOT, NodeKind.IMAGE)


def find_points(
    lineage: Lineage, *, marks: Mapping[LineageNode, str] | None = None, grouped: bool = True
) -> tuple[Point, ...]:
    """Return the points of a lab, each after the one it stands on, branch by branch.

    Args:
        marks: words about some nodes; siblings are equal only if their words are.
        grouped: whether four and more equal siblings (linked clones on one point, without snapshots) are one point.
    """
    owners = _find_owners(lineage)
    points = {node: _make_point(lineage, node, paths, owners) for node, paths in _named(lineage, owners).items()}
    above: dict[LineageNode | None, list[Point]] = {}
    for point in points.values():
        above.setdefault(point.below, []).append(point)
    ordered: list[Point] = []
    waiting = [(0, False, point) for point in reversed(_sorted(lineage, None, above.get(None, [])))]
    while waiting:
        depth, cloned, point = waiting.pop()
        cloned = point.is_linked or (cloned and point.below is not None and point.below.machine == point.node.machine)
        ordered.append(replace(point, depth=depth, of_clone=cloned))
        children = _sorted(lineage, point.node, above.get(point.node, []))
        if grouped:
            children = _group(children, above, marks or {})
        waiting += [(depth + 1, cloned, child) for child in reversed(children)]
    return tuple(ordered)


def points_graph(points: Iterable[Point]) -> nx.DiGraph[LineageNode]:
    """Return the points as a graph, from each to what stands on it; `layer` is how many lie below."""
    import networkx as nx

    graph: nx.DiGraph[LineageNode] = nx.DiGraph()
    for point in points:
        graph.add_node(point.node, layer=point.depth, images=point.images)
        if point.below is not None:
            graph.add_edge(point.below, point.node, linked=point.is_linked)
    return graph


def boot_files(lineage: Lineage) -> Mapping[LineageNode, tuple[LineageNode, ...]]:
    """Return the kernels and initramfs of the lab's machines and snapshots, and the machines that need each."""
    found: dict[LineageNode, tuple[LineageNode, ...]] = {}
    for node in lineage.graph():
        if node.kind is NodeKind.BOOT:
            names = {needing.machine for needing in lineage.dependants(node)}
            machines = (LineageNode(NodeKind.MACHINE, name) for name in names if name)
            found[node] = tuple(sorted(machines, key=lambda each: natural(each.name)))
    return found


def plain_label(node: LineageNode) -> str:
    """Return what a file is called without the digest that content-addressed files begin with."""
    return _DIGEST.sub("", node.label)


def span(nodes: Iterable[LineageNode]) -> str:
    """Return names in a row, with a span for those that differ only in their number: "web, seat-01 … seat-20"."""
    families: dict[str, list[str]] = {}
    for name in sorted((node.label for node in nodes), key=natural):
        families.setdefault(_DIGITS.sub("#", name), []).append(name)
    parts: list[str] = []
    for names in families.values():
        many = len(names) >= FEWEST_GROUPED
        parts += [f"{names[0]} … {names[-1]}"] if many else names
    return ", ".join(parts)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts names as people do: seat-2 before seat-10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name) if part)


def _find_owners(lineage: Lineage) -> dict[str, LineageNode]:
    """Return the point each image is of: a snapshot before a machine; a layer alone where the chain forks or ends."""
    state = lineage.state
    owners: dict[str, LineageNode] = {}
    for name, tree in state.snapshots.items():
        for snapshot in tree.nodes.values():
            for disk in snapshot.disks:
                owners.setdefault(disk.path, LineageNode(NodeKind.SNAPSHOT, f"{name}@{snapshot.name}"))
    for name, machine in state.machines.items():
        for disk in (*machine.spec.disks, *(machine.live.disks if machine.live else ())):
            if not disk.served:
                owners.setdefault(disk.path, LineageNode(NodeKind.MACHINE, name))
    for free in state.disks.values():
        if free.machine is None:
            owners.setdefault(free.active.path, LineageNode(NodeKind.DISK, free.name))
    on = Counter(image.backing for image in state.images.values() if image.backing is not None)
    layers = (path for path in sorted({*state.images, *on}) if on[path] != 1)  # one image on it: part of a stretch
    return {path: LineageNode(NodeKind.IMAGE, path) for path in layers} | owners


def _named(lineage: Lineage, owners: Mapping[str, LineageNode]) -> dict[LineageNode, tuple[str, ...]]:
    """Return the images that each point names directly, in the order of its disks."""
    state = lineage.state
    named: dict[LineageNode, tuple[str, ...]] = {}
    for name, tree in state.snapshots.items():
        for snapshot in tree.nodes.values():
            named[LineageNode(NodeKind.SNAPSHOT, f"{name}@{snapshot.name}")] = tuple(
                disk.path for disk in snapshot.disks
            )
    for name, machine in state.machines.items():
        disks = (machine.live or machine.spec).disks
        named[LineageNode(NodeKind.MACHINE, name)] = tuple(disk.path for disk in disks if not disk.served)
    for path, node in owners.items():
        if node.kind in (NodeKind.DISK, NodeKind.IMAGE):
            named[node] = (path,)
    return named


def _make_point(
    lineage: Lineage, node: LineageNode, paths: tuple[str, ...], owners: Mapping[str, LineageNode]
) -> Point:
    images = lineage.state.images
    stretches: list[tuple[str, ...]] = []
    below: list[LineageNode] = []
    missing: list[str] = []
    for path in paths:
        mine: list[str] = []
        for layer in layer_paths(images, path):
            owner = owners.get(layer, node)
            if owner != node:
                below.append(owner)
                break
            mine.append(layer)
            if layer not in images:
                missing.append(layer)
        stretches.append(tuple(mine))
    stands_on = below[0] if below else None
    return Point(
        node=node,
        below=stands_on,
        stretches=tuple(stretches),
        kind=lineage.state.snapshots[node.machine][node.snapshot].kind if node.machine and node.snapshot else None,
        images=tuple(dict.fromkeys(path for stretch in stretches for path in stretch)),
        missing=tuple(missing),
        lost=tuple(dict.fromkeys(lost for path in paths if (lost := find_missing(images, path)))),
        is_linked=stands_on is not None and stands_on.machine not in (None, node.machine),
        equals=(node,),
    )


def _sorted(lineage: Lineage, below: LineageNode | None, points: list[Point]) -> list[Point]:
    """Sort a machine's snapshots by age, then its current state, then other machines' points by name."""
    own = below.machine if below is not None else None
    kinds = [NodeKind.SNAPSHOT, NodeKind.MACHINE, NodeKind.DISK, NodeKind.IMAGE]
    ages = {
        f"{name}@{node}": age for name, tree in lineage.state.snapshots.items() for age, node in enumerate(tree.nodes)
    }

    def key(point: Point) -> tuple[object, ...]:
        node = point.node
        foreign = own is not None and node.machine != own
        owner = natural(node.machine) if node.machine and (foreign or below is None) else ()
        return (
            foreign,
            node.machine is None,
            owner,
            kinds.index(node.kind),
            ages.get(node.name, 0),
            natural(node.name),
        )

    return sorted(points, key=key)


def _group(
    children: list[Point], above: Mapping[LineageNode | None, list[Point]], marks: Mapping[LineageNode, str]
) -> list[Point]:
    """Make equal siblings one point: linked clones that nothing stands on and whose disks are alike."""
    alike: dict[tuple[object, ...], list[Point]] = {}
    for child in children:
        single = child.node.kind is not NodeKind.MACHINE or not child.is_linked or child.missing
        if single or child.node in above:
            continue
        shape = tuple(len(stretch) for stretch in child.stretches)
        look = (_DIGITS.sub("#", child.node.name), shape, child.lost, marks.get(child.node))
        alike.setdefault(look, []).append(child)
    shown: list[Point] = []
    for child in children:
        group = next((group for group in alike.values() if child in group and len(group) >= FEWEST_GROUPED), [child])
        if child is group[0]:
            images = tuple(path for each in group for path in each.images)
            shown.append(replace(child, images=images, equals=tuple(each.node for each in group)))
    return shown


__all__ = ["Point", "boot_files", "find_points", "natural", "plain_label", "points_graph", "span"]
