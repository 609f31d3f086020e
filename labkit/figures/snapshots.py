"""Drawings of snapshots: the tree with "you are here", and a tree before and after a plan.

A snapshot is a point; the line between two points is the image that was written in between. The last line on its
console is written beside a point. The text twin is `SnapshotTree.text()` with that line.

Knows: trees, plans as values. Must not know: libvirt, how a snapshot is taken.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing, set_rows
from labkit.figures.given import drawn
from labkit.figures.layout import LARGE, MANY, NOTEBOOK, OVERVIEW, Size, cut
from labkit.figures.lettering import Label, write_many
from labkit.language import _
from labkit.model.snapshot import SnapshotKind, SnapshotTree, snapshot_word
from labkit.model.state import LabState
from labkit.model.tree_layout import HERE, Line, Place, arrange, find_way, tree_graph
from labkit.plans.effect import tree_after
from labkit.plans.plan import Plan
from labkit.units import format_size

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

MARKS: Final = {SnapshotKind.OFF: "o", SnapshotKind.RUNNING: ">", SnapshotKind.PAUSED: "s", SnapshotKind.DISK_ONLY: "D"}
"""The mark of each kind; marks of kinds without memory are hollow."""

LEAST_NAME: Final = 12
"""How many characters of a name stay, however narrow the column is."""

Put = Callable[[int, float, float], tuple[float, float]]
"""Returns the place in the picture of a column, lane and row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is written beside the points, by name.

    Attributes:
        costs: bytes that deleting the snapshot frees. notes: words such as the console's last line.
        changes: what a plan does to the snapshot.
    """

    costs: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)


@drawn
def draw_tree(
    tree: SnapshotTree,
    ax: Axes | None = None,
    *,
    costs: Mapping[str, int] | None = None,
    notes: Mapping[str, str] | None = None,
    large: bool = False,
) -> Drawing:
    """Draw a tree of snapshots and where the current state begins.

    Args:
        tree: `vm.snapshots.tree`.
        costs: bytes that deleting each snapshot frees, `vm.snapshots.costs()`.
        notes: words to write beside snapshots, by name; None: the last line on the console of each taken running.
        large: for a projector.
    """
    said = {name: f"“{node.said}”" for name, node in tree.items() if node.said} if notes is None else notes
    labels = Labels(costs=costs or {}, notes=said)
    rows = len(tree) + 1
    size = LARGE if large else NOTEBOOK if len(tree) <= MANY else OVERVIEW
    columns = size.columns_for(rows)
    per_column = math.ceil(rows / columns)
    if columns == LARGE.columns:
        size = replace(size, words=False)
    size = size.fitted(per_column + (0 if size.words else 1))

    def draw(axes: Axes) -> None:
        set_rows(axes, size, fill=ax is None)
        _draw(axes, tree, size, labels, per_column=per_column, left=0.0, width=size.width / columns)
        if not size.words:
            _draw_key(axes, size, per_column)

    return Drawing(draw, tree.text(said), height=size.height, width=size.width, ax=ax)


@drawn
def draw_before_after(state: LabState, plan: Plan, ax: Axes | None = None, *, large: bool = False) -> Drawing:
    """Draw the tree before a plan about snapshots on the left, and as the plan would leave it on the right.

    If the plan is refused, the reason is on the right.

    Args:
        state: what the plan was made from, `lab.state`. plan: for instance `vm.snapshots.delete.plan("clean")`.
    """
    before = state.tree_of(plan.names[0])
    after = tree_after(state, plan)
    gone = dict.fromkeys(set(before) - set(after), _("goes"))
    born = dict.fromkeys(set(after) - set(before), _("new"))
    heads = (_("before"), plan.title)
    refused = _("refused: {why}").format(why=plan.refusal.why) if plan.refusal else ""
    size = LARGE if large else NOTEBOOK
    reason = textwrap.wrap(refused, int(size.width / 2 * 72 / size.text / 0.68))
    rows = max(len(before), len(after), len(reason)) + 2
    size = size.fitted(rows)

    def draw(axes: Axes) -> None:
        set_rows(axes, size, fill=ax is None)
        half = size.width / 2
        axes.plot([half - 0.12] * 2, [0, rows - 1], color=style.QUIET, linewidth=0.8)
        for left, head, tree, changes in ((0.0, heads[0], before, gone), (half, heads[1], after, born)):
            axes.text(left + 0.05, 0, head, va="center", weight="bold", size=size.text, color=style.QUIET)
            if left and reason:
                for row, words in enumerate(reason, 1):
                    axes.text(left + 0.05, row, words, va="center_baseline", size=size.text, color=style.INK)
                continue
            _draw(axes, tree, size, Labels(changes=changes), per_column=rows, left=left, width=half - 0.2, first=1)

    twin = "\n".join((f"{heads[0]}:", before.text(), f"{heads[1]}:", refused or after.text()))
    return Drawing(draw, twin, height=size.height, width=size.width, ax=ax)


# --- drawing ------------------------------------------------------------------------------------


def _draw(
    axes: Axes,
    tree: SnapshotTree,
    size: Size,
    labels: Labels,
    *,
    per_column: int,
    left: float,
    width: float,
    first: int = 0,
) -> None:
    """Draw a tree from row `first` on, in columns of this width, the first one beginning at `left`."""
    graph = tree_graph(tree)
    places = {node: (row + first, lane) for node, (row, lane) in arrange(graph).items()}
    lanes = max((lane for _row, lane in places.values()), default=0)
    step = min(size.lane, 0.28 * width / max(lanes, 1))

    def put(column: int, lane: float, row: float) -> tuple[float, float]:
        return left + column * width + size.text / 80 + lane * step, row

    way = {*tree.path(tree.current), HERE}
    _draw_lines(axes, graph, places, way, per_column, put)
    spots = {node: put(row // per_column, lane, row % per_column) for node, (row, lane) in places.items()}
    _draw_points(axes, tree, spots, size)
    written: list[Label] = []
    for node, (x, y) in spots.items():
        room = width - size.text / 34 - places[node][1] * step
        most = int(room * 72 / size.text / (0.64 if node not in labels.changes else 0.7))
        text = _label(tree, node, labels, most=most, words=size.words)
        written.append((x + 0.012 * size.text, y, text, node == HERE or node in labels.changes))
    if size.text < style.SMALL:
        write_many(axes, written, points=size.text, row=size.row)
    else:
        _write(axes, written, size)
    if not tree.nodes:
        axes.text(left + 0.1, first, tree.text(), va="center", size=size.text, color=style.QUIET)


def _draw_lines(
    axes: Axes,
    graph: nx.DiGraph[str],
    places: Mapping[str, Place],
    way: set[str],
    per_column: int,
    put: Put,
) -> None:
    """Draw the images between the points: those the machine reads are wide, the active one has the guest's colour."""
    from matplotlib.collections import LineCollection

    kinds: dict[str, list[Line]] = {"other": [], "way": [], "active": []}
    for parent, child in graph.edges:
        kind = "active" if child == HERE else "way" if child in way else "other"
        for column, piece in cut(find_way(places[parent], places[child]), per_column):
            kinds[kind].append([put(column, lane, row) for lane, row in piece])
    looks = {"other": (style.QUIET, 1.3, "-"), "way": (style.INK, 3.0, "-"), "active": (style.GUEST, 3.0, "-")}
    for number, (kind, (colour, width, dashes)) in enumerate(looks.items()):
        lines = LineCollection(kinds[kind], colors=colour, linewidths=width, linestyles=dashes, zorder=1 + number / 10)
        lines.set_in_layout(False)
        axes.add_collection(lines, autolim=False)


def _draw_points(axes: Axes, tree: SnapshotTree, spots: Mapping[str, tuple[float, float]], size: Size) -> None:
    for kind in SnapshotKind:
        nodes = [spots[name] for name in spots if name != HERE and tree[name].kind is kind]
        _draw_marks(axes, kind, [x for x, _y in nodes], [y for _x, y in nodes], size)
    if HERE in spots:
        axes.scatter(*spots[HERE], s=(1.15 * size.text) ** 2, marker="*", color=style.GUEST, zorder=3)


def _write(axes: Axes, written: Iterable[Label], size: Size) -> None:
    here = _("you are here")
    for x, y, text, strong in written:
        axes.text(
            x, y, text, va="center_baseline", size=size.text, in_layout=False, parse_math=False,
            weight="bold" if strong else "normal", color=style.GUEST if text == here else style.INK,
        )  # fmt: skip


def _label(tree: SnapshotTree, node: str, labels: Labels, *, most: int, words: bool) -> str:
    """Return the words beside a point, at most so many characters; the last words are dropped first."""
    if node == HERE:
        return _("you are here")
    parts = [snapshot_word(tree[node].kind)] if words else []
    if node in labels.changes:
        parts.insert(0, labels.changes[node])
    if node in labels.costs:
        cost = labels.costs[node]
        parts.append(_("frees {size}").format(size=format_size(cost)) if cost else _("frees nothing"))
    while len(parts) > words and len(" · ".join((node[:LEAST_NAME], *parts))) > most:
        parts.pop()
    room = max(LEAST_NAME, most - len(" · ".join(("", *parts))))
    label = " · ".join((_cut(node, room), *parts))
    note, room = labels.notes.get(node, ""), most - len(label) - len(" · ")
    return f"{label} · {_cut(note, room)}" if note and room >= min(len(note), LEAST_NAME) else label


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _draw_key(axes: Axes, size: Size, row: int) -> None:
    """Explain the marks in the row below the tree."""
    for number, kind in enumerate(SnapshotKind):
        x = 0.2 + number * size.width / 4
        _draw_marks(axes, kind, [x], [row], size)
        axes.text(x + 0.2, row, snapshot_word(kind), va="center_baseline", size=size.text, color=style.QUIET)


def _draw_marks(axes: Axes, kind: SnapshotKind, xs: Sequence[float], ys: Sequence[float], size: Size) -> None:
    fill = style.INK if kind in (SnapshotKind.RUNNING, SnapshotKind.PAUSED) else style.GROUND
    points = axes.scatter(
        xs, ys, s=(0.68 * size.text) ** 2, marker=MARKS[kind], facecolor=fill, edgecolor=style.INK,
        linewidth=size.text / 8, zorder=3,
    )  # fmt: skip
    points.set_in_layout(False)
