"""Drawings of machines: each is a picture, and its text twin holds nothing that was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from labkit.figures import Drawing, draw_answers, draw_beats, draw_memory, draw_race, draw_timeline
from labkit.language import set_language
from labkit.units import MIB


@dataclass(frozen=True)
class Moment:
    """What happened when."""

    label: str
    seconds: float


MEMORY_TWIN = """\
Memory really given, of 512 MiB promised: after booting, after using more
after using more: more than before"""

MOMENTS = [Moment("process", 0.512), Moment("agent", 4.125)]


@pytest.fixture(autouse=True)
def _english() -> object:
    set_language("en")
    yield
    set_language(None)


@pytest.mark.parametrize(
    ("draw", "twin"),
    [
        (lambda: draw_timeline(MOMENTS), "Seconds until: process → agent"),
        (
            lambda: draw_race(MOMENTS, [512 * MIB, 200]),
            "Seconds and bytes: process | agent\nagent: less than a hundredth of the bytes of: process",
        ),
        (lambda: draw_answers(MOMENTS), "How many machines answer, over time; at the end: 2"),
        (
            lambda: draw_beats([1.0, 1.1, 1.2], 1.05),
            "the neighbour breaks: whether the heart stood still is not distinguishable on this computer.",
        ),
        (
            lambda: draw_memory({"booted": 88 * MIB, "used": 144 * MIB}, 512 * MIB),
            MEMORY_TWIN,
        ),
    ],
)
def test_is_a_picture_with_a_text_twin(draw: Callable[[], Drawing], twin: str) -> None:
    drawing = draw()
    bundle, told = drawing._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert drawing.to_png().startswith(b"\x89PNG")
    assert bundle["text/plain"] == twin
    assert told == {"image/png": {"alt": twin}}
    assert not re.search(r"\d\.\d", twin)


def test_draws_on_axes_that_are_there() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    draw_timeline(MOMENTS, ax=axes)
    assert len(axes.patches) == 4


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ([0.1 * number for number in range(60)], "no pause above one second stands out"),
        ([0.1 * number for number in range(31)] + [5.5, 5.6], "stands still"),
        (
            [0.1 * number for number in range(31)] + [3.9, *(4 + 0.1 * number for number in range(9))],
            "no pause above one second stands out",
        ),
        ([0.0, 1.0, 2.0, 3.0, 3.9, 4.5, 5.5], "not distinguishable"),
        ([3.1, 3.2, 9.0], "not distinguishable"),
    ],
    ids=["regular", "frozen", "a short pause", "irregular before", "not heard before"],
)
def test_a_standstill_is_judged_by_the_spread_before(beats: list[float], words: str) -> None:
    assert words in repr(draw_beats(beats, 3.0))
