"""Drawing of diverging clones: how much of the host full and linked ones take as they write.

Knows: samples. Must not know: who took them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.growth import mark_times
from labkit.figures.kinds import COLOURS, MARKS, legend
from labkit.language import _, ngettext
from labkit.model.measurement import DivergenceSample
from labkit.units import MIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY: Final = 4
"""From this many clones of a kind on, their sum is drawn as well, and single ones are thin."""

GREW_BYTES: Final = MIB
"""Bytes that count as growth; less is bookkeeping."""


@drawn
def draw_divergence(
    samples: Sequence[DivergenceSample],
    linked: Collection[str] | None = None,
    *,
    marks: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Drawing:
    """Draw the bytes that full and linked clones have of their own, over time, and what they share.

    Args:
        samples: a `Divergence`, or its samples in order, one or more.
        linked: the names of the linked clones; None: those of the `Divergence`.
        marks: what was done, in words, with the seconds after which it was done.
    """
    links = frozenset(getattr(samples, "linked", ()) if linked is None else linked)
    names = list(samples[-1].own)
    kinds = {
        "on-base": [name for name in names if name in links],
        "dynamic": [name for name in names if name not in links],
    }
    end = max(samples[-1].seconds, 0.1) * 1.02
    times = [sample.seconds for sample in samples]

    def draw(axes: Axes) -> None:
        top = 1.0
        for kind, members in kinds.items():
            lines = [[sample.own.get(name, 0) / MIB for sample in samples] for name in members]
            if not lines:
                continue
            thin = len(lines) >= MANY
            for line in lines:
                axes.plot(
                    times, line, color=COLOURS[kind], linewidth=0.9 if thin else 2.2, alpha=0.75 if thin else 1.0,
                    marker=None if thin else MARKS[kind], markevery=_few(times), markersize=7,
                    label=_word(kind, 1) if line is lines[0] else None,
                )  # fmt: skip
            top = max(top, *(max(line) for line in lines))
            if thin:
                total = [sum(values) for values in zip(*lines, strict=True)]
                axes.plot(
                    times, total, color=COLOURS[kind], linewidth=3, marker=MARKS[kind], markevery=_few(times),
                    markersize=8, label=_("{clones} together").format(clones=_word(kind, len(lines))),
                )  # fmt: skip
                top = max(top, *total)
        shared = [sample.shared / MIB for sample in samples]
        if any(shared):
            axes.plot(times, shared, color=style.INK, linewidth=1.6, linestyle=":", label=_("shared, counted once"))
            top = max(top, *shared)
        axes.set_xlim(0, end)
        axes.set_ylim(0, top * 1.16)
        mark_times(axes, marks)
        axes.set_xlabel(_("seconds"), size=style.SMALL, color=style.QUIET)
        axes.set_ylabel(_("MiB allocated"), size=style.SMALL, color=style.QUIET)
        legend(axes, columns=2)

    return Drawing(draw, divergence_words(samples, links), height=3.9, ax=ax)


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


def _few(times: Sequence[float]) -> int:
    return max(1, len(times) // 8)


__all__ = ["divergence_words", "draw_divergence"]
