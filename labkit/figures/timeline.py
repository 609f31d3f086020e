"""Drawings of time: after how many seconds things happened.

Knows: moments. Must not know: who measured them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _, ngettext
from labkit.model.measurement import stood_still
from labkit.units import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Moment(Protocol):
    """Something that happened, in words, and after how many seconds."""

    @property
    def label(self) -> str:
        """What happened."""

    @property
    def seconds(self) -> float:
        """After how many seconds."""


@drawn
def draw_timeline(moments: Sequence[Moment], ax: Axes | None = None, *, until: float = 0) -> Drawing:
    """Draw moments one below the other, each with a bar whose length is the time until then.

    Args:
        moments: in the order they happened, one or more.
        until: the least number of seconds on the scale, so that two drawings can be compared.
    """
    begins = [0.0, *[moment.seconds for moment in moments[:-1]]]
    longest = max(until, *[moment.seconds for moment in moments])

    def draw(axes: Axes) -> None:
        for row, (begin, moment) in enumerate(zip(begins, moments, strict=True)):
            axes.barh(row, begin, height=0.5, color=style.GUEST_GROUND)
            axes.barh(row, moment.seconds - begin, left=begin, height=0.5, color=style.GUEST)
            words = _("{seconds} s").format(seconds=decimal(f"{moment.seconds:.1f}"))
            axes.text(moment.seconds + longest / 60, row, words, va="center", color=style.INK, size=style.TEXT)
        axes.set_yticks(range(len(moments)), [moment.label for moment in moments], size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.14)
        axes.set_xlabel(_("seconds since the call"), size=style.SMALL, color=style.QUIET)

    steps = " → ".join(moment.label for moment in moments)
    return Drawing(draw, _("Seconds until: {steps}").format(steps=steps), height=0.7 + 0.42 * len(moments), ax=ax)


@drawn
def draw_answers(moments: Sequence[Moment], ax: Axes | None = None) -> Drawing:
    """Draw how many machines have answered, over time.

    Args:
        moments: when each machine first answered, one or more.
    """
    times = sorted(moment.seconds for moment in moments)
    count = len(times)

    def draw(axes: Axes) -> None:
        axes.step([0, *times], range(count + 1), where="post", color=style.GUEST, linewidth=2)
        axes.plot(times[-1], count, marker="o", color=style.GUEST)
        words = ngettext("{count} machine after {seconds} s", "{count} machines after {seconds} s", count)
        axes.annotate(
            words.format(count=count, seconds=decimal(f"{times[-1]:.1f}")),
            (times[-1], count),
            xytext=(-8, 5),
            textcoords="offset points",
            ha="right",
            size=style.TEXT,
            color=style.INK,
        )
        axes.set_xlim(0, times[-1] * 1.05)
        axes.set_ylim(0, count * 1.15)
        axes.locator_params(axis="y", integer=True)
        axes.set_xlabel(_("seconds since the first call"), size=style.SMALL, color=style.QUIET)
        axes.set_ylabel(_("machines that answer"), size=style.SMALL, color=style.QUIET)

    text = _("How many machines answer, over time; at the end: {count}").format(count=count)
    return Drawing(draw, text, height=2.6, ax=ax)


@drawn
def draw_beats(beats: Sequence[float], event: float, word: str = "breaks", ax: Axes | None = None) -> Drawing:
    """Draw a heartbeat: the pause before each beat, and when something happened.

    Args:
        beats: seconds of each beat, two or more, rising; `heart.moments`. event: the moment, by the same clock.
        word: what happened then: "breaks" (a neighbour breaks down), "moves" (the guest migrates), or words.
    """
    times = [beat - event for beat in beats[1:]]
    pauses = [later - earlier for earlier, later in pairwise(beats)]
    longest = max(pauses)
    happens = {"breaks": _("the neighbour breaks"), "moves": _("the move begins")}.get(word, word)

    def draw(axes: Axes) -> None:
        axes.vlines(times, 0, pauses, color=style.GUEST, linewidth=1.5)
        axes.axvline(0, color=style.HOST, linestyle="--", linewidth=1.5)
        top = max(1.2, longest * 1.3)
        early = -times[0] < 0.4 * (times[-1] - times[0])  # then there is more room to the right of the line
        axes.annotate(
            happens,
            (0, 0.97 * top),
            xytext=(6 if early else -6, 0),
            textcoords="offset points",
            ha="left" if early else "right",
            va="top",
            color=style.HOST,
            size=style.TEXT,
        )
        axes.text(
            times[-1],
            0.97 * top,
            _("longest pause: {seconds} s").format(seconds=decimal(f"{longest:.2f}")),
            ha="right",
            va="top",
            size=style.TEXT,
        )
        axes.set_ylim(0, top)
        axes.set_xlabel(_("seconds"), size=style.SMALL, color=style.QUIET)
        axes.set_ylabel(_("seconds since\nthe beat before"), size=style.SMALL, color=style.QUIET)

    return Drawing(draw, f"{happens}: {beat_words(beats, event)}", height=2.2, ax=ax)


def beat_words(beats: Sequence[float], event: float) -> str:
    """Return in words whether a heart stood still after an event, judged by how regular it was before."""
    words = {
        False: _("the heart beats on, and no pause above one second stands out."),
        True: _("the heart stands still: a pause above one second stands out."),
        None: _("whether the heart stood still is not distinguishable on this computer."),
    }
    return words[stood_still(beats, event)]
