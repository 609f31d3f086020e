"""What all drawings of disks share: colours, hatches, marks and words.

A colour that is not in `style` never stands alone: a hatch, a mark or a word says the same.
Knows: constants. Must not know: what is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.language import _

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

LENGTH: Final = "#F6C9A6"
"""The colour of a file's length: the host's, paler."""

ZERO: Final = "#F0E442"
"""The colour of zeros that are promised but not stored: yellow, with dots."""

GIVEN_HATCH, ZERO_HATCH = "//", ".."

COLOURS: Final = {"fixed": "#009E73", "dynamic": "#CC79A7", "on-base": "#56B4E9"}
"""The colour of each kind of disk."""

MARKS: Final = {"fixed": "s", "dynamic": "o", "on-base": "^"}
"""The mark of each kind of disk."""


def kind_word(slug: str) -> str:
    """Return what a kind of disk is called, in the language in force."""
    words = {"fixed": _("fixed"), "dynamic": _("dynamic"), "on-base": _("dynamic, on a base")}
    return words.get(slug, slug)


def legend(axes: Axes, *, columns: int = 3) -> None:
    """Put the legend above the axes, where it hides nothing, in fewer columns where its words are long."""
    for number in range(columns, 0, -1):
        made = axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=number,
            fontsize=style.SMALL,
            frameon=False,
            borderaxespad=0.2,
            handlelength=1.6,
            columnspacing=1.4,
        )
        if _width(made) <= _room(axes):
            break


def _width(made: Artist) -> float:
    """The pixels that something takes across."""
    return float(made.get_window_extent().width)


def _room(axes: Axes) -> float:
    """The pixels of the figure on the right of what is written beside the axes."""
    figure = axes.get_figure(root=True)
    beside = max(map(_width, axes.get_yticklabels()), default=0.0) if axes.axison else 0.0
    return float(figure.bbox.width) - beside - _MARGIN if figure else 0.0


_MARGIN: Final = 12
"""Pixels between words and the edge of a figure, both sides together."""
