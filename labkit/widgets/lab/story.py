"""What happened to machines, as a trace over the last minutes and as a list with durations.

Functions from values to trees. Knows: happenings. Must not know: labs, threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from labkit.language import _
from labkit.model.happenings import Happening
from labkit.model.machine import MachineState
from labkit.model.words import happening_word, state_word
from labkit.units import decimal
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import format_duration

TRACE_SECONDS = 600
"""How many seconds back a trace goes."""

STEP_SECONDS = 5
"""Seconds after which a trace moves on; each move is a message to the page."""

_HEIGHT = 16
_HEIGHTS = {MachineState.RUNNING: 14, MachineState.PAUSED: 8, MachineState.SAVED: 5, MachineState.OFF: 2}
_TONES = {
    MachineState.RUNNING: "good",
    MachineState.PAUSED: "warn",
    MachineState.SAVED: "main",
    MachineState.OFF: "calm",
}
_MARK_SECONDS = 6


def step_of(now: float) -> float:
    """Return the time up to which traces are drawn; they move on in steps."""
    return (now // STEP_SECONDS + 1) * STEP_SECONDS


def render_trace(happenings: Sequence[Happening], *, began: float, now: float) -> Node:
    """Return the states of the last ten minutes as a line, the higher the more alive; other happenings are marks.

    Args:
        happenings: of one machine, oldest first. began: the time that the drawing counts from.
        now: the time, from `step_of`.
    """
    right = now - began
    segments = []
    for happening, end in _lasting(happenings):
        start = happening.when - began
        width = TRACE_SECONDS * 100 if end is None else end - happening.when
        if happening.state is None or start + width < right - TRACE_SECONDS:
            continue
        height = _HEIGHTS[happening.state]
        title = f"{clock(happening.when)} {happening_word(happening)}"
        shape = tag("title", title)
        segments.append(
            tag(
                "rect",
                shape,
                x=f"{start:.1f}",
                y=_HEIGHT - height,
                width=f"{width:.1f}",
                height=height,
                class_=f"labkit-trace-{_TONES[happening.state]}",
                key=f"{happening.when}",
            )
        )
    marks = [
        tag(
            "rect",
            tag("title", f"{clock(each.when)} {happening_word(each)}"),
            x=f"{each.when - began - _MARK_SECONDS / 2:.1f}",
            y=0,
            width=_MARK_SECONDS,
            height=_HEIGHT,
            class_="labkit-mark",
            key=f"mark {each.when}",
        )
        for each in happenings
        if each.state is None and each.when - began > right - TRACE_SECONDS
    ]
    return tag(
        "svg",
        *segments,
        *marks,
        viewBox=f"{right - TRACE_SECONDS:.0f} 0 {TRACE_SECONDS} {_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="labkit-trace",
    )


def render_story(happenings: Sequence[Happening]) -> Node:
    """Return what happened to one machine, newest first: when, what, and how long the new state lasted."""
    ends = dict(_lasting(happenings))
    lines = []
    for happening in reversed(happenings):
        words = happening_word(happening)
        if happening.state is not None:
            end = ends[happening]
            state = state_word(happening.state)
            lasted = (
                _("{state} since then").format(state=state)
                if end is None
                else _("{state} for {time}").format(state=state, time=_duration(end - happening.when))
            )
            words = f"{words} — {lasted}"
        lines.append(_line(happening, words))
    return tag("ol", *lines, class_="labkit-story")


def render_news(happenings: Iterable[Happening], *, most: int) -> Node | None:
    """Return what happened in a lab, newest first, each with its machine's name; None if nothing did."""
    newest = sorted(happenings, key=lambda each: each.when, reverse=True)[:most]
    lines = [_line(each, f"{each.name}: {happening_word(each)}") for each in newest]
    return tag("ol", *lines, class_="labkit-story") if lines else None


def clock(when: float) -> str:
    """Return a time of the day, in this computer's zone."""
    return time.strftime("%H:%M:%S", time.localtime(when))


def _line(happening: Happening, words: str) -> Node:
    moment = tag("time", clock(happening.when), class_="labkit-quiet")
    return tag("li", moment, " ", words, key=f"{happening.when} {happening.kind} {happening.about}")


def _lasting(happenings: Sequence[Happening]) -> Iterator[tuple[Happening, float | None]]:
    """Yield each happening that says a state, with the time when that state ended; None if it still lasts."""
    told = [each for each in happenings if each.state is not None]
    for index, each in enumerate(told):
        yield each, told[index + 1].when if index + 1 < len(told) else None


def _duration(seconds: float) -> str:
    return _("{seconds} s").format(seconds=decimal(f"{seconds:.1f}")) if seconds < 9.95 else format_duration(seconds)
