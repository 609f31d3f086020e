"""Drawings of the lineage of a whole lab, and of the lineage before and after a plan.

A snapshot is a point; a star is where a machine goes on. The bar that leads to a point is the image written since the
point below it: full if frozen, open if it is still written to. Dotted links lead to clones of another machine's points.
Equal linked clones are one row. The text twin is `lineage_text`.

Knows: the lineage, plans as values. Must not know: libvirt, how a clone is made.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing, set_rows
from labkit.figures.given import drawn
from labkit.figures.layout import LARGE, NOTEBOOK, Size
from labkit.figures.lineage_marks import draw_bars, draw_key, draw_link, draw_mark, fit, text_width
from labkit.language import _
from labkit.model.lineage import Lineage, LineageNode, NodeKind, read_lineage
from labkit.model.lineage_text import boot_line, lineage_text, list_boot_lines, marks_of, point_word
from labkit.model.points import Point, find_points
from labkit.model.state import LabState
from labkit.plans.effect import state_after
from labkit.plans.plan import Plan
from labkit.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDS: Final = "#FFF0C2"
"""The background of what depends on the selected node, and of what a plan changes; words say the same."""

SELECTED: Final = "#FFD560"
"""The background of the selected node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the drawing: a point, or boot files (no point).

    Attributes:
        node: what it shows. text: the words beside it; the last parts are dropped first if there is no room.
        mark: "selected", "needs it", "new" …, or empty.
    """

    node: LineageNode
    name: str
    words: tuple[str, ...]
    mark: str = ""
    point: Point | None = None


@drawn
def draw_lineage(
    lineage: Lineage,
    selected: LineageNode | str | None = None,
    ax: Axes | None = None,
    *,
    large: bool = False,
    grouped: bool = True,
) -> Drawing:
    """Draw all images, snapshots and machines of a lab, and who stands on whom.

    Args:
        lineage: `lab.lineage`.
        selected: a node or its name ("web", "web@clean", a path); its dependants are marked.
        large: for a projector. grouped: whether four or more equal linked clones are one row.

    Raises:
        NotFound: there is nothing of that name.
    """
    node = lineage.find(selected) if isinstance(selected, str) else selected
    marks = marks_of(lineage, node)
    rows = _list_rows(lineage, marks, grouped=grouped)
    size = LARGE if large else NOTEBOOK
    columns = size.columns_for(len(rows) + 1)
    if columns > 1:
        rows = _list_rows(lineage, marks, grouped=grouped, short=True)
    per_column = math.ceil(max(len(rows), 1) / columns)
    size = size.fitted(per_column + 1)

    def draw(axes: Axes) -> None:
        set_rows(axes, size, fill=ax is None)
        _draw(axes, rows, size, per_column=per_column, width=size.width / columns)
        draw_key(axes, size, per_column)

    twin = lineage_text(lineage, marks=marks, grouped=grouped)
    return Drawing(draw, twin, height=size.height, width=size.width, ax=ax)


@drawn
def draw_lineage_change(state: LabState, plan: Plan, ax: Axes | None = None, *, large: bool = False) -> Drawing:
    """Draw the lineage before a plan on the left, and as the plan would leave it on the right.

    If the plan is refused, the reason is on the right.

    Args:
        state: what the plan was made from, `lab.state`. plan: for instance `vm.clone.plan("copy")`.
    """
    before, after = read_lineage(state), read_lineage(state_after(state, plan))
    gone, changed = _changes(before, after)
    heads = (_("before"), plan.title)
    refused = _("refused: {why}").format(why=plan.refusal.why) if plan.refusal else ""
    sides = (_list_rows(before, gone, boots=False), [] if refused else _list_rows(after, changed, boots=False))
    size = LARGE if large else NOTEBOOK
    reason = textwrap.wrap(refused, int(size.width / 2 * 72 / size.text / 0.66))
    rows = max(*map(len, sides), len(reason)) + 2
    size = replace(size.fitted(rows), text=size.text)  # two sides leave no room for larger letters

    def draw(axes: Axes) -> None:
        set_rows(axes, size, fill=ax is None)
        half = size.width / 2
        axes.plot([half - 0.08] * 2, [0, rows - 2], color=style.QUIET, linewidth=0.8)
        for left, head, shown in ((0.0, heads[0], sides[0]), (half, heads[1], sides[1])):
            title = fit(head, "", half - 0.3, size.text, bold=True)
            axes.text(left + 0.05, 0, title, va="center", weight="bold", size=size.text, color=style.QUIET)
            if left and reason:
                for row, words in enumerate(reason, 1):
                    axes.text(left + 0.05, row, words, va="center_baseline", size=size.text, color=style.INK)
                continue
            _draw(axes, shown, size, per_column=rows, left=left, width=half - 0.12, first=1)
        draw_key(axes, size, rows - 1)

    shown_after = refused or lineage_text(after, marks=changed)
    twin = "\n".join((f"{heads[0]}:", lineage_text(before, marks=gone), f"{heads[1]}:", shown_after))
    return Drawing(draw, twin, height=size.height, width=size.width, ax=ax)


# --- rows ---------------------------------------------------------------------------------------


def _list_rows(
    lineage: Lineage, marks: Mapping[LineageNode, str], *, grouped: bool = True, boots: bool = True, short: bool = False
) -> list[Row]:
    images = lineage.state.images
    rows = []
    for point in find_points(lineage, marks=marks, grouped=grouped):
        size = sum(images[path].allocated for path in point.images if path in images)
        several = len(point.equals) > 1
        words = (_("linked clones") if several else point_word(lineage, point), format_size(size))
        name = f"{len(point.equals)} × {point.name}" if several else point.name
        if short and point.node.snapshot and point.below and point.below.machine == point.node.machine:
            name = f"@{point.node.snapshot}"  # its machine is named above
        rows.append(Row(node=point.node, name=name, words=words, mark=marks.get(point.node, ""), point=point))
    if boots:
        for files, machines in list_boot_lines(lineage):
            mark = next((marks[file] for file in files if file in marks), "")
            rows.append(Row(node=files[0], name=boot_line(lineage, files, machines), words=(), mark=mark))
    return rows


def _changes(before: Lineage, after: Lineage) -> tuple[dict[LineageNode, str], dict[LineageNode, str]]:
    """Return what is removed, and what is new or stands on something else afterwards."""
    old = {point.node: point for point in find_points(before, grouped=False)}
    new = {point.node: point for point in find_points(after, grouped=False)}
    gone = {node: _("goes") for node in old if node not in new}
    changed = {node: _("new") for node in new if node not in old}
    for node, point in new.items():
        if node not in old or point.below == old[node].below:
            continue
        if old[node].is_linked and point.below is None:
            changed[node] = _("stands alone now")
        elif point.below is not None and point.below in old:
            changed[node] = _("stands on {point} now").format(point=point.below.label)
    return gone, changed


# --- drawing ------------------------------------------------------------------------------------


def _draw(
    axes: Axes,
    rows: list[Row],
    size: Size,
    *,
    per_column: int,
    width: float,
    left: float = 0.0,
    first: int = 0,
) -> None:
    """Draw rows from row `first` on, in columns of this width, the first one beginning at `left`."""
    deepest = max((row.point.depth for row in rows if row.point), default=0) + 1
    step = min(0.05 * size.text, 0.34 * width / deepest)
    spots: dict[LineageNode, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        column, y = divmod(number + first, per_column)
        base = left + column * width + 0.05
        depth = row.point.depth if row.point else 0
        end = base + (depth + 1) * step
        if row.mark:
            _draw_ground(axes, base - 0.03, y, width - 0.06, row)
        if row.point is not None:
            spots[row.node] = (number + first, depth)
            if row.point.below in spots:
                above, lane = spots[row.point.below]
                draw_link(axes, row.point, [(lane + 1, above), (lane + 1, number + first)], per_column,
                           (left + 0.05, width, step))  # fmt: skip
            draw_bars(axes, row.point, (end - step, end), y)
            draw_mark(axes, row.point, (end, y), size)
        else:
            axes.scatter(base + step, y, s=(0.85 * size.text) ** 2, marker="P", color=style.QUIET, zorder=3)
        start = end + 0.012 * size.text
        room = base + width - 0.1 - start
        axes.text(
            start, y, _label(row, room, size.text), va="center_baseline", size=size.text, in_layout=False,
            parse_math=False, weight="bold" if row.mark else "normal",
            color=style.GUEST if row.node.kind is NodeKind.MACHINE else style.INK, zorder=4,
        )  # fmt: skip
    if not rows:
        nothing = "(" + _("nothing in this lab") + ")"
        axes.text(left + 0.1, first, nothing, va="center", size=size.text, color=style.QUIET)


def _draw_ground(axes: Axes, x: float, y: float, width: float, row: Row) -> None:
    from matplotlib.patches import Rectangle

    ground = SELECTED if row.mark == _("selected") else NEEDS
    axes.add_patch(Rectangle((x, y - 0.44), width, 0.88, facecolor=ground, linewidth=0, zorder=0))


def _label(row: Row, room: float, points: float) -> str:
    """Return the words beside a point, at most so many inches long; the last words are dropped first."""
    bold = bool(row.mark)
    parts = [row.mark] if bold else []
    words = [*parts, *row.words]
    for count in range(len(words), len(parts) - 1, -1):
        text = " · ".join((row.name, *words[:count]))
        if text_width(text, points, bold=bold) <= room:
            return text
    name, tail = row.name, "".join(f" · {word}" for word in parts)
    return fit(name, tail, room, points, bold=bold)


__all__ = ["draw_lineage", "draw_lineage_change"]
