"""Every drawing in each language: its numbers as that language writes them, and no words outside the picture."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox, BboxBase

from labkit import figures
from labkit.language import set_language
from tests.figures.test_odd_values import CALLS
from tests.language.catalogue import LANGUAGES


@pytest.fixture(params=["en", *LANGUAGES], autouse=True)
def spoken(request: pytest.FixtureRequest) -> Iterator[str]:
    set_language(request.param)
    yield str(request.param)
    set_language(None)


def texts_of(axes: Axes) -> list[Text]:
    """What is written in the picture, beside it, and in its legend."""
    legend = axes.get_legend()
    return [*axes.texts, *(axes.get_yticklabels() if axes.axison else []), *(legend.get_texts() if legend else [])]


@pytest.mark.parametrize("name", CALLS)
def test_numbers_and_words_are_those_of_the_language_and_stay_in_the_picture(name: str, spoken: str) -> None:
    axes = getattr(figures, name)(**CALLS[name])._ax
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()
    wrong = re.compile(r"(?<![\d.])\d+[.]\d+(?= [a-zA-Z×%]|\n|$)" if spoken == "es" else r"\d,\d")
    written = [*texts_of(axes), *(axes.get_xticklabels() if axes.axison else [])]
    numbers = [text.get_text() for text in written if wrong.search(text.get_text().replace("6.1", ""))]
    assert numbers == []
    for text in texts_of(axes):
        if text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= -1, text
            assert box.x1 <= figure.bbox.x1 + 1, text
    boxes = [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_text().strip()]
    over = [(one, other) for (one, a), (other, b) in itertools.combinations(boxes, 2) if common(a, b)]
    assert over == []


def common(one: BboxBase, other: BboxBase) -> bool:
    """Whether one text stands on another, by more than the rim of a letter."""
    both = Bbox.intersection(one, other)
    return both is not None and both.width > 2 and both.height > 4
