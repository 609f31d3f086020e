"""Drawing of cost: the same writes, the first time and again, on each kind of disk.

Every run is a mark, so that the spread can be seen; if spreads overlap, the text says so.
Knows: timings. Must not know: how they were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.kinds import COLOURS, MARKS, kind_word, legend
from labkit.language import _
from labkit.model.measurement import Timing, median
from labkit.units import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawn
def draw_cost(timings: Sequence[Timing], ax: Axes | None = None, *, until: float = 0) -> Drawing:
    """Draw how long the same writes took: a full mark for the first time, a hollow one for the second.

    Args:
        timings: one for each kind of disk, in order.
        until: the least number of seconds on the scale, so that two drawings can be compared.
    """
    longest = max(until, *(timing.longest for timing in timings))

    def draw(axes: Axes) -> None:
        for row, timing in enumerate(timings):
            colour = COLOURS.get(timing.slug, style.TIME)
            mark = MARKS.get(timing.slug, "D")
            for shift, runs, ground in ((-0.17, timing.first, colour), (0.17, timing.again, style.GROUND)):
                y = row + shift
                axes.plot([min(runs), max(runs)], [y, y], color=colour, linewidth=2)
                heights = [y + 0.05 * (number % 3 - 1) for number in range(len(runs))]
                axes.plot(runs, heights, mark, color=colour, markerfacecolor=ground, markersize=7, markeredgewidth=1.8)
                axes.plot([median(runs)] * 2, [y - 0.12, y + 0.12], color=style.INK, linewidth=1.6)
            axes.text(longest * 1.05, row, verdict(timing), va="center", size=style.SMALL, color=style.INK)
        axes.plot([], [], "o", color=style.QUIET, markersize=9, label=_("first write"))
        again = axes.plot([], [], "o", color=style.QUIET, markersize=9, markeredgewidth=2, label=_("write again"))
        again[0].set_markerfacecolor(style.GROUND)
        axes.plot([], [], "|", color=style.INK, markersize=12, markeredgewidth=1.6, label=_("median"))
        names = [kind_word(timing.slug) for timing in timings]
        axes.set_yticks(range(len(timings)), names, size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(timings) - 0.5, -0.5)
        axes.set_xlim(0, longest * 1.75)
        axes.set_xlabel(_("seconds; the bar is the spread of the runs"), size=style.SMALL, color=style.QUIET)
        legend(axes)

    kinds = ", ".join(kind_word(timing.slug) for timing in timings)
    twin = _("Seconds to write the same blocks for the first time, and again: {kinds}").format(kinds=kinds)
    return Drawing(draw, twin, height=1.2 + 0.7 * len(timings), ax=ax)


def verdict(timing: Timing) -> str:
    """Return how first writes and rewrites compare on this computer, as a sentence."""
    if not timing.first_costs_more:
        return _("not distinguishable\non this computer")
    times = median(timing.first) / median(timing.again)
    return _("the first write takes\n{times} × as long").format(times=decimal(f"{times:.1f}"))
