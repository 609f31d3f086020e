"""Drawing of figures that were kept: a bar for each, on one axis that begins at nothing.

Knows: numbers and their words. Must not know: what was measured, where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.language import _

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAD = 0.75
"""The height of a line that says where the bars below it are from, in rows."""


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


def draw_amounts(
    amounts: Sequence[Amount], ax: Axes | None = None, *, elsewhere: Mapping[str, Sequence[Amount]] | None = None
) -> Drawing:
    """Draw a bar for each, in order, with its label above it and its value behind it.

    Args:
        amounts: those that can be compared. elsewhere: others, by the words that say where they are from; in grey,
            on an axis of their own.
    """
    groups = elsewhere or {}

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(_height(amounts, groups) - 0.4, -0.5)
        _draw_bars(axes, 0, amounts, bar=style.TIME, ink=style.INK)
        row: float = len(amounts)
        for head, others in groups.items():
            axes.axhline(row - 0.4, color=style.QUIET, linewidth=0.8, linestyle=":")
            words = _("Not compared: {where}").format(where=head)
            axes.text(0, row - 0.05, words, va="center", color=style.QUIET, size=style.TEXT, style="italic")
            _draw_bars(axes, row + _HEAD, others, bar=style.ABSENT, ink=style.QUIET)
            row += _HEAD + len(others)

    twin = [_("Compared: {names}").format(names=_names(amounts))]
    twin += [_("Not compared: {where}").format(where=f"{head}: {_names(others)}") for head, others in groups.items()]
    return Drawing(draw, "\n".join(twin), height=0.25 + 0.62 * _height(amounts, groups), ax=ax)


def _names(amounts: Sequence[Amount]) -> str:
    return " | ".join(amount.label for amount in amounts)


def _height(amounts: Sequence[Amount], groups: Mapping[str, Sequence[Amount]]) -> float:
    """How many rows are needed."""
    return len(amounts) + sum(_HEAD + len(others) for others in groups.values())


def _draw_bars(axes: Axes, first: float, amounts: Sequence[Amount], *, bar: str, ink: str) -> None:
    """Draw bars from a row on; the longest of them sets their measure."""
    most = max((amount.value for amount in amounts), default=0) or 1
    for number, amount in enumerate(amounts):
        row, length = first + number, max(0.7 * amount.value / most, 0.003)
        axes.text(0, row - 0.22, amount.label, va="center", color=ink, size=style.TEXT)
        axes.barh(row + 0.14, length, height=0.3, color=bar)
        if amount.spread:
            half = 0.35 * amount.spread / most
            axes.plot([length - half, length + half], [row + 0.14] * 2, color=ink, linewidth=1.5)
        axes.text(length + 0.015, row + 0.14, amount.words, va="center", color=ink, size=style.TEXT)
