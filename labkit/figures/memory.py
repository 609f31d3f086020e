"""Drawing of memory: what a guest was promised, and what the host has really given.

Knows: bytes. Must not know: processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _
from labkit.units import MIB, check_count, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP: Final = 16 * MIB
"""Bytes that count as more or less; a guest that does nothing touches a little memory, too."""


@drawn
def draw_memory(given: Mapping[str, int], promised: int, ax: Axes | None = None) -> Drawing:
    """Draw the memory given at several moments as bars inside the frame of what was promised.

    Args:
        given: bytes that the host had given, in order, by what had been done: "booted", "used", "freed", or words.
        promised: bytes that the guest believes it has.
    """
    check_count(promised, what="promised")
    words = {"booted": _("after booting"), "used": _("after using more"), "freed": _("after freeing it")}
    labels = [words.get(moment, moment) for moment in given]

    def draw(axes: Axes) -> None:
        for row, size in enumerate(given.values()):
            axes.barh(row, promised / MIB, height=0.56, facecolor=style.GROUND, edgecolor=style.GUEST, linewidth=1.2)
            axes.barh(row, size / MIB, height=0.56, color=style.HOST, hatch="//", edgecolor=style.HOST_GROUND)
            axes.text(size / MIB + promised / MIB / 80, row, format_size(size), va="center", size=style.TEXT)
        axes.set_yticks(range(len(given)), labels, size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, promised / MIB * 1.02)
        axes.set_xlabel(
            _("MiB; hatched: really given by the host, frame: what the guest was promised"),
            size=style.SMALL,
            color=style.QUIET,
        )

    return Drawing(draw, memory_words(given, labels, promised), height=0.7 + 0.48 * len(given), ax=ax)


def memory_words(given: Mapping[str, int], labels: Sequence[str], promised: int) -> str:
    """Return in words what was measured, and how each moment compares with the one before, in coarse steps."""
    head = _("Memory really given, of {promised} promised: {moments}")
    lines = [head.format(promised=format_size(promised), moments=", ".join(labels))]
    moments = list(zip(given, labels, given.values(), strict=True))
    for (_slug, _label, before), (slug, label, now) in pairwise(moments):
        if slug not in ("used", "freed"):
            continue
        if now - before > STEP:
            lines.append(_("{moment}: more than before").format(moment=label))
        elif before - now > STEP:
            lines.append(_("{moment}: less than before").format(moment=label))
        else:
            lines.append(_("{moment}: as much as before").format(moment=label))
    return "\n".join(lines)
