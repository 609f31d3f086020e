"""Questions of earlier notebooks, answered from what the student's own machine said then."""

from __future__ import annotations

import pytest

from labkit.course.amount import say_amount
from labkit.course.prediction import Prediction
from labkit.course.progress import CourseProgress
from labkit.course.reviewing import MOST, Review, review
from labkit.course.text import read_texts
from labkit.errors import BadInput
from labkit.widgets.tree import Node
from tests.widgets.test_panel import press

NUMBERS = {"floors": 4, "boot-time": 4.25, "memory-given": 130 * 2**20, "twenty-machines": 12.5}


def say_all(progress: CourseProgress) -> None:
    """Let the machine answer some predictions of notebooks 00 and 01."""
    for slug, number in NUMBERS.items():
        Prediction(slug, progress=progress).reveal(number)


def choose(panel: Review, slug: str, choice: str) -> Node:
    """Answer a question and return the page."""
    press(panel, "choose", subject=slug, choice=choice)
    return panel.page()


def test_only_what_the_machine_has_said_in_earlier_notebooks_is_asked(progress: CourseProgress) -> None:
    assert Review("01", progress=progress).questions == ()
    assert "Nothing yet" in Review("01", progress=progress).page().text
    say_all(progress)
    assert set(Review("01", progress=progress).questions) == {"floors", "boot-time"}
    later = Review("02", progress=progress).questions
    assert len(later) == MOST
    assert set(later) <= set(NUMBERS)
    assert Review("00", progress=progress).questions == ()


def test_what_was_predicted_otherwise_comes_first(progress: CourseProgress) -> None:
    for slug, choice in (("floors", "three"), ("boot-time", "breath"), ("memory-given", "part")):
        Prediction(slug, progress=progress).choose(choice)
    say_all(progress)
    asked = Review("02", progress=progress).questions
    assert set(asked[:2]) == {"floors", "twenty-machines"}
    assert Review("02", progress=progress).questions == asked


def test_the_answer_is_what_the_machine_said_with_its_number(progress: CourseProgress) -> None:
    Prediction("boot-time", progress=progress).choose("blink")
    say_all(progress)
    panel = Review("01", progress=progress)
    assert "Measured" not in panel.page().text
    page = choose(panel, "boot-time", "breath").text
    assert "✓ You remember." in page
    assert "your machine said: 2 to 10 seconds" in page
    assert "Measured: 4.25 s" in page
    assert "You predicted: less than 2 seconds" in page
    assert "✗ It was not so." in choose(panel, "floors", "three").text
    assert "✗" in choose(panel, "floors", "four").text  # the first answer stands
    assert progress.answer("boot-time") == "blink"


def test_its_twin_is_the_same_for_everybody(progress: CourseProgress) -> None:
    empty = Review("02", progress=progress)._repr_mimebundle_()
    say_all(progress)
    full = Review("02", progress=progress)._repr_mimebundle_()
    assert (full["text/plain"], full["text/html"]) == (empty["text/plain"], empty["text/html"])


def test_an_option_that_is_no_longer_one_is_not_asked(progress: CourseProgress) -> None:
    progress.record_revealed("floors", "ninety")
    progress.record_revealed("boot-time")
    assert Review("01", progress=progress).questions == ()


def test_a_notebook_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        review("9")
    assert "00, 01" in refusal.value.hint


def test_a_reveal_tells_the_number_beside_the_class_and_its_twin_does_not(progress: CourseProgress) -> None:
    revealed = Prediction("memory-given", progress=progress).reveal(130 * 2**20)
    assert "Measured: 130 MiB" in revealed.page().text
    assert "130" not in revealed.static() + repr(revealed)
    assert "Measured" not in Prediction("panic-neighbour", progress=progress).reveal("no").page().text


def test_each_range_of_numbers_has_its_unit() -> None:
    """A size needs the unit of bytes; a question without a unit counts whole things."""
    for slug, text in read_texts("predictions").items():
        bounds = [option["below"] for option in text["options"] if "below" in option]
        if any(isinstance(bound, str) for bound in bounds):
            assert text.get("unit") == "B", slug
        if any(isinstance(bound, float) for bound in bounds):
            assert text.get("unit"), slug
        assert bounds or "unit" not in text, slug


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(4, "", "4"), (0.5, "%", "50 %"), (1.25, "×", "1.25 ×"), (4.256, "s", "4.26 s"), (2**20, "B", "1 MiB")],
)
def test_figures_have_their_units(value: float, unit: str, words: str) -> None:
    assert say_amount(value, unit) == words


def test_of_what_was_said_twice_the_last_answer_and_the_first_time_stay(progress: CourseProgress) -> None:
    progress.record_revealed("floors", "three", 3.0)
    first = progress.observed()["floors"].at
    progress.record_revealed("floors", "four", 4.0)
    kept = progress.observed()["floors"]
    assert (kept.at, kept.option, kept.value) == (first, "four", 4.0)
