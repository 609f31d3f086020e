"""The parts of drawings of the lineage: links, bars for images, marks for points, their key, names cut to fit.

Knows: points of the lineage. Must not know: in which row and column they are, plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.layout import Size, cut
from labkit.figures.snapshots import MARKS
from labkit.language import _
from labkit.model.lineage import NodeKind
from labkit.model.points import Point
from labkit.model.snapshot import SnapshotKind
from labkit.model.tree_layout import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS: Final = (0, (1.0, 1.5))
"""The style of the link to another machine's image."""

MOST_DISKS: Final = 3
"""How many bars of one stretch are drawn one by one."""

LEAST_NAME: Final = 6
"""How many characters of a name stay, however narrow the column is."""


def draw_link(axes: Axes, point: Point, line: Line, per_column: int, frame: tuple[float, float, float]) -> None:
    """Draw the line from a point to what stands on it, which may continue in the next column."""
    left, width, step = frame
    aside = 0.06 if point.is_linked else 0.0  # so that it does not hide a machine's own line
    for column, piece in cut(line, per_column):
        xs = [left + column * width + lane * step - aside for lane, _row in piece]
        ys = [row for _lane, row in piece]
        if column == line[-1][1] // per_column:  # into the bar
            xs.append(xs[-1] + aside)
            ys.append(ys[-1])
        axes.plot(
            xs, ys, color=style.INK if point.is_linked else style.QUIET, linewidth=2.0 if point.is_linked else 1.3,
            linestyle=DOTS if point.is_linked else "-", zorder=1,
        )  # fmt: skip


def draw_bars(axes: Axes, point: Point, ends: tuple[float, float], y: float) -> None:
    """Draw the images of a point, one bar for each disk: full if frozen, open if still written to."""
    from matplotlib.patches import Rectangle

    start, end = ends
    stretches = [stretch for stretch in point.stretches[:MOST_DISKS] if stretch]
    if not stretches:
        axes.plot([start, end], [y, y], color=style.QUIET, linewidth=1.3, zorder=1)
    high = min(0.36, 0.62 / max(len(stretches), 1))
    for number, stretch in enumerate(stretches):
        top = y + (number - len(stretches) / 2) * (high + 0.06)
        for shift in (2, 1, 0) if len(point.equals) > 1 else (0,):
            face, edge = (style.QUIET, style.QUIET) if point.is_frozen else (style.GUEST_GROUND, style.GUEST)
            if point.missing:
                face, edge = style.GROUND, style.INK
            lies = (start + 0.025 * shift, top - 0.09 * shift + 0.03)
            axes.add_patch(
                Rectangle(
                    lies, end - start, high, facecolor=face, edgecolor=edge, linewidth=1.2,
                    linestyle=":" if point.missing else "-", zorder=2 - shift / 10,
                )
            )  # fmt: skip
        for layer in range(1, len(stretch)):
            x = start + (end - start) * layer / len(stretch)
            axes.plot([x, x], [top, top + high], color=style.GROUND, linewidth=1.6, zorder=2.5)
    if point.below is None:
        axes.plot([start, start], [y - 0.3, y + 0.3], color=style.INK, linewidth=2.4, zorder=2.6)


def draw_mark(axes: Axes, point: Point, spot: tuple[float, float], size: Size) -> None:
    """Draw the mark of a point: a star where a machine goes on, the marks of snapshots, a ring for a free disk."""
    area = (0.72 * size.text) ** 2
    if point.node.kind is NodeKind.MACHINE:
        axes.scatter(*spot, s=(1.1 * size.text) ** 2, marker="*", color=style.GUEST, zorder=3)
        return
    mark, fill, edge = "o", style.GROUND, style.GUEST
    if point.kind is not None:
        memory = point.kind in (SnapshotKind.RUNNING, SnapshotKind.PAUSED)
        mark, fill, edge = MARKS[point.kind], style.INK if memory else style.GROUND, style.INK
    elif point.node.kind is NodeKind.IMAGE:
        mark, fill, edge, area = "o", style.QUIET, style.QUIET, area / 4
    axes.scatter(*spot, s=area, marker=mark, facecolor=fill, edgecolor=edge, linewidth=1.6, zorder=3)


def draw_key(axes: Axes, size: Size, y: int) -> None:
    """Explain bars, links and stars in the row below all others."""
    from matplotlib.patches import Rectangle

    words = (_("frozen image"), _("active image"), _("linked to another machine"), _("machine"))
    points = min(size.text, 18.0)
    x = 0.08
    for number, word in enumerate(words):
        sample = (x, x + 0.024 * points)
        if number < 2:
            face, edge = ((style.QUIET, style.QUIET), (style.GUEST_GROUND, style.GUEST))[number]
            axes.add_patch(Rectangle((x, y - 0.18), sample[1] - x, 0.36, facecolor=face, edgecolor=edge, linewidth=1.2))
        elif number == 2:
            axes.plot(sample, [y, y], color=style.INK, linewidth=2, linestyle=DOTS)
        else:
            axes.scatter(sum(sample) / 2, y, s=points**2, marker="*", color=style.GUEST)
        axes.text(
            sample[1] + 0.06, y, word, va="center_baseline", size=points, color=style.QUIET, in_layout=False
        )  # fmt: skip
        x = sample[1] + 0.24 + text_width(word, points)


def fit(name: str, tail: str, room: float, points: float, *, bold: bool) -> str:
    """Cut a name so that it and what follows it take at most so many inches."""
    if text_width(name + tail, points, bold=bold) <= room:
        return name + tail
    while len(name) > LEAST_NAME and text_width(f"{name}…{tail}", points, bold=bold) > room:
        name = name[:-1]
    return f"{name.rstrip(' …')}…{tail}"


def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Return how many inches a text takes across."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points, weight="bold" if bold else "normal")
    exact = float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])
    return 1.03 * exact / 72  # letters are placed on whole dots
