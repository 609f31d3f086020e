"""Where the points and lines of a tree of snapshots go, and how large they are.

Each point has a row of its own, so that names never touch; a branch begins one lane further right. Where the rows
are many, they go on at the top of another column. The order is that of `SnapshotTree.text()`.

Knows: trees. Must not know: how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.model.snapshot import SnapshotTree

if TYPE_CHECKING:
    import networkx as nx

HERE: Final = ""
"""The node of the current state: no snapshot can have this name."""

Place = tuple[int, int]
"""Row and lane, both from 0."""

Line = list[tuple[float, float]]
"""Lanes and rows, from a point down to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a tree is drawn.

    Attributes:
        width, height: inches, the least height. text: points. row, lane: inches. rows: how many a column holds
            before another is begun, up to `columns` of them. words: whether what a snapshot keeps is written
            beside it; else a key below tells what the marks say.
    """

    width: float
    height: float
    text: float
    row: float
    lane: float
    rows: int
    columns: int
    words: bool = True

    def columns_for(self, rows: int) -> int:
        """Return into how many columns so many rows are cut."""
        return min(self.columns, math.ceil(rows / self.rows))

    def fitted(self, rows: int) -> Size:
        """Return it with the height that so many rows need, or with rows and letters that fill its height."""
        height = max(self.height, MARGIN + self.row * rows)
        row = max(self.row, min(0.62, (height - MARGIN) / rows))
        return replace(self, height=height, row=row, text=max(self.text, min(28.0, self.text * row / self.row / 1.4)))


MARGIN: Final = 0.1
"""Inches above and below the rows together."""

NOTEBOOK: Final = Size(width=style.WIDTH, height=0.7, text=style.TEXT, row=0.29, lane=0.26, rows=32, columns=2)

OVERVIEW: Final = Size(width=style.WIDTH, height=0.7, text=7, row=0.15, lane=0.13, rows=60, columns=3, words=False)
"""For trees of more than `MANY` snapshots, which no page holds."""

MANY: Final = 200

LARGE: Final = Size(width=1280 / style.DOTS, height=720 / style.DOTS, text=18, row=0.29, lane=0.34, rows=20, columns=3)
"""For a projector: 1280 × 720 dots, letters of 18 points or more."""


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


def arrange(graph: nx.DiGraph[str]) -> dict[str, Place]:
    """Return row and lane of each node: parents above children, the last child straight below its parent.

    No two nodes share a row, and no line crosses another or a name.
    """
    places: dict[str, Place] = {}
    waiting = [(node, 0) for node in reversed(list(graph)) if graph.in_degree(node) == 0]
    while waiting:
        node, lane = waiting.pop()
        places[node] = (len(places), lane)
        children = list(graph.successors(node))
        waiting += [(child, lane if child == children[-1] else lane + 1) for child in reversed(children)]
    return places


def find_way(parent: Place, child: Place) -> Line:
    """Return the way from a point to one below it, in lanes and rows."""
    (above, lane), (below, other) = parent, child
    if lane == other:
        return [(lane, above), (lane, below)]
    return [(lane, above), (lane, below - 0.5), (other, below)]


def cut(line: Line, per_column: int) -> Iterator[tuple[int, Line]]:
    """Cut a line where the rows go on at the top of the next column; yields column and piece."""
    (x, above), (_x, below) = line[:2]
    column, last = int(above // per_column), math.floor(line[-1][1] / per_column)
    top = above
    while column < last:
        yield column, [(x, top - column * per_column), (x, per_column - 0.5)]
        column += 1
        top = column * per_column - 0.5
    rest = [(x, max(below, top)), *line[2:]]
    yield last, [(px, py - last * per_column) for px, py in [(x, top), *rest]]
