"""Drawing of figures that were kept: a bar for each, on one axis that begins at nothing.

Knows: numbers and their words. Must not know: what was measured, where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.language import _

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A bar.

    Attributes:
        label: what it is. value: how long the bar is, in a unit that all share. words: the value as a person says it.
        spread: the largest minus the smallest measured, in the same unit, or None.
    """

    label: str
    value: float
    words: str
    spread: float | None = None


def draw_amounts(amounts: Sequence[Amount], ax: Axes | None = None) -> Drawing:
    """Draw a bar for each, in order, with its label above it and its value behind it."""

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(amounts) - 0.4, -0.5)
        most = max((amount.value for amount in amounts), default=0) or 1
        for row, amount in enumerate(amounts):
            length = max(0.7 * amount.value / most, 0.003)
            axes.text(0, row - 0.22, amount.label, va="center", color=style.INK, size=style.TEXT)
            axes.barh(row + 0.14, length, height=0.3, color=style.TIME)
            if amount.spread:
                half = 0.35 * amount.spread / most
                axes.plot([length - half, length + half], [row + 0.14] * 2, color=style.INK, linewidth=1.5)
            axes.text(length + 0.015, row + 0.14, amount.words, va="center", color=style.INK, size=style.TEXT)

    names = " | ".join(amount.label for amount in amounts)
    return Drawing(draw, _("Compared: {names}").format(names=names), height=0.25 + 0.62 * len(amounts), ax=ax)
