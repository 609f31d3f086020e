"""Where the points of a tree are drawn: each in a row and a lane. The drawing and the panels lay them out alike.

Each point has a row of its own, so that names never touch; a branch begins one lane further right. The order is that
of `SnapshotTree.text()`.

Knows: trees. Must not know: how they are drawn.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, TypeVar

from labkit.model.snapshot import SnapshotTree

if TYPE_CHECKING:
    import networkx as nx

HERE: Final = ""
"""The node of the current state: no snapshot can have this name."""

N = TypeVar("N", bound=Hashable)

Place = tuple[int, int]
"""Row and lane, both from 0."""

Line = list[tuple[float, float]]
"""A polyline of lanes and rows, from a point down to another."""


def tree_graph(tree: SnapshotTree) -> nx.DiGraph[str]:
    """Return the tree as a graph from parents to children; the node `HERE` is the current state."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tree)
    ways = [(node.parent, node.name) for node in tree.nodes.values()] + [(tree.current, HERE)] * bool(tree.nodes)
    for parent, child in ways:
        graph.add_node(child)
        if parent is not None and parent in tree:
            graph.add_edge(parent, child)
    return graph


def arrange(graph: nx.DiGraph[N]) -> dict[N, Place]:
    """Return row and lane of each node: parents above children, siblings in one lane.

    An only child lies straight below its parent, several lie one lane further. No two nodes share a row, and no
    line crosses another or a name. The nodes come in the order of their rows.
    """
    places: dict[N, Place] = {}
    waiting = [(node, 0) for node in reversed(list(graph)) if graph.in_degree(node) == 0]
    while waiting:
        node, lane = waiting.pop()
        places[node] = (len(places), lane)
        children = list(graph.successors(node))
        waiting += [(child, lane + (len(children) > 1)) for child in reversed(children)]
    return places


def find_way(parent: Place, child: Place) -> Line:
    """Return the line from a point to one below it, in lanes and rows."""
    (above, lane), (below, other) = parent, child
    if lane == other:
        return [(lane, above), (lane, below)]
    return [(lane, above), (lane, below - 0.5), (other, below)]
