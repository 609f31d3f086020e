"""Drawings of guests that share a host: how much of a CPU each got, how long the same work took, runs side by side.

Every run is a mark, so that the spread can be seen; if spreads overlap, the text says so.
Knows: what was measured. Must not know: how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _
from labkit.model.measurement import Share, is_slower, median
from labkit.units import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawn
def draw_sharing(shares: Sequence[Share], ax: Axes | None = None) -> Drawing:
    """Draw how much guests got done alone and together, and what each believes.

    Args:
        shares: one for each guest, in order.
    """
    longest = max(load.rate for share in shares for load in (*share.alone, *share.together))

    def draw(axes: Axes) -> None:
        labels = []
        for number, share in enumerate(shares):
            for shift, loads, word in ((0, share.alone, _("alone")), (1, share.together, _("together"))):
                row = 2.3 * number + shift
                _draw_runs(axes, row, [load.rate for load in loads], filled=shift == 1)
                labels.append((row, _("{name}, {word}").format(name=share.name, word=word)))
            believes = _("believes: {busy} % busy,\n{stolen} % stolen").format(
                busy=round(100 * share.busy), stolen=round(100 * share.stolen)
            )
            words = f"{share_verdict(share)}\n{believes}"
            axes.text(longest * 1.07, 2.3 * number + 0.5, words, va="center", size=style.SMALL, color=style.INK)
        axes.set_yticks([row for row, _label in labels], [label for _row, label in labels], size=style.TEXT)
        axes.tick_params(axis="y", length=0, labelcolor=style.INK)
        axes.set_ylim(labels[-1][0] + 0.6, -0.6)
        axes.set_xlim(0, longest * 1.62)
        axes.set_xlabel(
            _("rounds of the loop a second; each mark is a run, the bar their middle"),
            size=style.SMALL,
            color=style.QUIET,
        )

    names = ", ".join(share.name for share in shares)
    twin = _("What {names} got done alone and together on one CPU, and what each believes.").format(names=names)
    return Drawing(draw, twin, height=0.8 + 0.92 * len(shares), ax=ax)


def share_verdict(share: Share) -> str:
    """Return how a guest's work suffered from sharing the CPU, as a sentence."""
    if not share.is_less:
        return _("together: not distinguishable\nfrom alone on this computer")
    return _("together: {part} × the work").format(part=decimal(f"{share.part:.2f}"))


@drawn
def draw_runs(runs: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Drawing:
    """Draw how many milliseconds the same work took in several cases, each compared with the one above it.

    Args:
        runs: milliseconds of each run, by case: "alone", "noisy", "throttled", "virtio", "ide", or words.
    """
    cases = list(runs)
    longest = max(max(times) for times in runs.values())

    def draw(axes: Axes) -> None:
        for row, case in enumerate(cases):
            _draw_runs(axes, row, runs[case], filled=False)
            if row:
                words = runs_verdict(runs[case], runs[cases[row - 1]])
                axes.text(longest * 1.05, row, words, va="center", size=style.SMALL, color=style.INK)
        axes.set_yticks(range(len(cases)), [case_word(case) for case in cases], size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(cases) - 0.5, -0.5)
        axes.set_xlim(0, longest * 1.55)
        axes.set_xlabel(
            _("milliseconds for one write; each mark is a run, the bar their middle"),
            size=style.SMALL,
            color=style.QUIET,
        )

    names = ", ".join(case_word(case) for case in cases)
    twin = _("Milliseconds for one write: {names}").format(names=names)
    return Drawing(draw, twin, height=0.8 + 0.62 * len(cases), ax=ax)


def runs_verdict(times: Sequence[float], before: Sequence[float]) -> str:
    """Return how a case compares with the one above it, as a sentence."""
    if is_slower(times, before):
        return _("{times} × as long\nas above").format(times=decimal(f"{median(times) / median(before):.1f}"))
    if is_slower(before, times):
        return _("{times} × as fast\nas above").format(times=decimal(f"{median(before) / median(times):.1f}"))
    return _("not distinguishable\nfrom above")


def case_word(slug: str) -> str:
    """Return what a case is called, in the language in force."""
    words = {
        "alone": _("alone"),
        "noisy": _("beside a noisy neighbour"),
        "throttled": _("the neighbour throttled"),
        "virtio": _("virtio: made for guests"),
        "ide": _("IDE: imitated hardware"),
    }
    return words.get(slug, slug)


_RUN: Final = "o"


def _draw_runs(axes: Axes, row: float, values: Sequence[float], *, filled: bool) -> None:
    ground = style.GUEST if filled else style.GROUND
    axes.plot([min(values), max(values)], [row, row], color=style.GUEST, linewidth=2)
    heights = [row + 0.07 * (number % 3 - 1) for number in range(len(values))]
    axes.plot(values, heights, _RUN, color=style.GUEST, markerfacecolor=ground, markersize=7, markeredgewidth=1.8)
    axes.plot([median(values)] * 2, [row - 0.28, row + 0.28], color=style.INK, linewidth=1.8)
