"""Drawing of diverging clones: how much of the host full and linked ones took at first, and after they had written.

Knows: samples. Must not know: who took them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.kinds import COLOURS, legend
from labkit.language import _, ngettext
from labkit.model.measurement import DivergenceSample
from labkit.units import MIB, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY: Final = 4
"""From so many clones of a kind on only their sum is drawn."""

GROWN_HATCH: Final = "////"
"""What came to a disk as its guest wrote."""

GREW_BYTES: Final = MIB
"""Bytes that count as growth; less is bookkeeping."""


@drawn
def draw_divergence(
    samples: Sequence[DivergenceSample],
    linked: Collection[str] | None = None,
    *,
    ax: Axes | None = None,
) -> Drawing:
    """Draw what full and linked clones had of their own at first, what came to it as they wrote, and what they share.

    Many clones of a kind are one bar, their sum.

    Args:
        samples: a `Divergence`, or its samples in order, one or more.
        linked: the names of the linked clones; None: those of the `Divergence`.
    """
    links = frozenset(getattr(samples, "linked", ()) if linked is None else linked)
    bars = _bars(samples[0], samples[-1], links)
    longest = max(max(bar.first, bar.last) for bar in bars) / MIB or 1.0

    def draw(axes: Axes) -> None:
        for row, bar in enumerate(bars):
            first, last = bar.first / MIB, bar.last / MIB
            grown = max(last - first, 0.0)
            axes.barh(row, first, height=0.56, color=bar.colour, edgecolor=style.INK, linewidth=0.8)
            axes.barh(
                row, grown, left=first, height=0.56, facecolor=bar.colour, edgecolor=style.INK, hatch=GROWN_HATCH,
                linewidth=0.8,
            )  # fmt: skip
            words = format_size(bar.first)
            if bar.last - bar.first >= GREW_BYTES:
                words = f"{words} → {format_size(bar.last)}"
            axes.text(max(first, last) + longest / 80, row, words, va="center", size=style.SMALL, color=style.INK)
        axes.barh(0, 0, height=0, color=style.ABSENT, edgecolor=style.INK, linewidth=0.8, label=_("at first"))
        axes.barh(
            0,
            0,
            height=0,
            facecolor=style.ABSENT,
            edgecolor=style.INK,
            linewidth=0.8,
            hatch=GROWN_HATCH,
            label=_("came to it as they wrote"),
        )
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars], size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.45)
        axes.set_xlabel(_("MiB allocated by the host"), size=style.SMALL, color=style.QUIET)
        legend(axes)

    return Drawing(draw, divergence_words(samples, links), height=1.0 + 0.46 * len(bars), ax=ax)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A row: its words, its colour, bytes at first and in the end."""

    label: str
    colour: str
    first: int
    last: int


def _bars(first: DivergenceSample, last: DivergenceSample, links: Collection[str]) -> list[_Bar]:
    bars = []
    kinds = {
        "dynamic": [name for name in last.own if name not in links],
        "on-base": [name for name in last.own if name in links],
    }
    for kind, names in kinds.items():
        groups = [names] if len(names) >= MANY else [[name] for name in names]
        for group in groups:
            word = _word(kind, len(group))
            label = f"{group[0]}: {word}" if len(group) == 1 else _("{clones} together").format(clones=word)
            sums = (sum(sample.own.get(name, 0) for name in group) for sample in (first, last))
            bars.append(_Bar(label=label, colour=COLOURS[kind], first=next(sums), last=next(sums)))
    if first.shared or last.shared:
        shared = _("shared, counted once")
        bars.append(_Bar(label=shared, colour=style.QUIET, first=first.shared, last=last.shared))
    return bars


def divergence_words(samples: Sequence[DivergenceSample], linked: Collection[str]) -> str:
    """Return in words how the clones grew, so coarsely that it is the same on every host."""
    first, last = samples[0], samples[-1]
    links = [name for name in last.own if name in linked]
    full = [name for name in last.own if name not in linked]
    lines = []
    if links and full:
        less = max(first.own.get(name, 0) for name in links) < min(first.own.get(name, 0) for name in full) / 4
        lines.append(
            _("At first a linked clone has far less of its own than a full one.")
            if less
            else _("At first linked and full clones have about the same of their own.")
        )
    for names, words in ((links, _link_words), (full, _full_words)):
        if names:
            grown = [name for name in names if last.own[name] - first.own.get(name, 0) >= GREW_BYTES]
            lines.append(words(len(names), len(grown)))
    if links and last.shared - first.shared < GREW_BYTES <= last.shared:
        lines.append(_("What they share did not grow: only the past is shared."))
    return "\n".join(lines)


def _link_words(count: int, grown: int) -> str:
    if not grown:
        return _("The linked clones hardly grew.")
    return _("Linked clones that grew as they wrote: {grown} of {count}.").format(count=count, grown=grown)


def _full_words(count: int, grown: int) -> str:
    if not grown:
        return _("The full clones hardly grew.")
    return _("Full clones that grew as they wrote: {grown} of {count}.").format(count=count, grown=grown)


def _word(kind: str, count: int) -> str:
    if count == 1:
        return _("a linked clone") if kind == "on-base" else _("a full clone")
    if kind == "on-base":
        return ngettext("{count} linked clone", "{count} linked clones", count).format(count=count)
    return ngettext("{count} full clone", "{count} full clones", count).format(count=count)


__all__ = ["divergence_words", "draw_divergence"]
