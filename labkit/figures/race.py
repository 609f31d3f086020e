"""Drawing of a race: how long several methods took, one after the other, and how many bytes each takes.

Knows: moments, sizes. Must not know: what was raced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.timeline import Moment
from labkit.language import _
from labkit.units import decimal, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawn
def draw_race(
    moments: Sequence[Moment], sizes: Sequence[int], ax: Axes | None = None, *, memory: bool = False
) -> Drawing:
    """Draw the seconds that each method took on the left, and its bytes on the right.

    Args:
        moments: when each was done, in order; each began when the one before was done.
        sizes: the bytes of the host that each takes, in the same order. memory: whether these are memory, not disks.

    Raises:
        ValueError: they have different lengths.
    """
    begins = [0.0, *[moment.seconds for moment in moments[:-1]]]
    rows = list(zip(begins, moments, sizes, strict=True))
    seconds = [moment.seconds - begin for begin, moment, _size in rows]
    heads = ((0.27, _("seconds")), (0.66, _("memory of the host") if memory else _("of its own")))

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(rows) - 0.4, -1.0)
        for left, head in heads:
            axes.text(left, -0.72, head, va="center", weight="bold", color=style.QUIET, size=style.TEXT)
        for row, (taken, (_begin, moment, size)) in enumerate(zip(seconds, rows, strict=True)):
            axes.text(0.25, row, moment.label, ha="right", va="center", color=style.INK, size=style.TEXT)
            bars = (
                (0.27, taken / max(seconds), style.TIME, _("{seconds} s").format(seconds=decimal(f"{taken:.2f}"))),
                (0.66, size / max(sizes), style.HOST, format_size(size)),
            )
            for left, part, colour, words in bars:
                axes.barh(row, max(0.2 * part, 0.002), left=left, height=0.5, color=colour)
                axes.text(left + 0.2 * part + 0.012, row, words, va="center", color=style.INK, size=style.TEXT)

    twin = race_words([moment.label for moment in moments], sizes)
    return Drawing(draw, twin, height=0.7 + 0.5 * len(rows), ax=ax)


def race_words(names: Sequence[str], sizes: Sequence[int]) -> str:
    """Return in words what was raced and how the bytes compare, so coarsely that it is the same on every host."""
    lines = [_("Seconds and bytes: {names}").format(names=" | ".join(names))]
    most = max(zip(sizes, names, strict=True))
    lines += [
        _("{name}: less than a hundredth of the bytes of: {other}").format(name=name, other=most[1])
        for name, size in zip(names, sizes, strict=True)
        if 100 * size < most[0]
    ]
    return "\n".join(lines)


__all__ = ["draw_race", "race_words"]
