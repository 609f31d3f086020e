"""Predictions: asked before, kept, and shown beside what the run observed."""

from __future__ import annotations

import pytest

from labkit.course import predict
from labkit.course.prediction import Prediction
from labkit.course.progress import CourseProgress
from labkit.course.question import UNKNOWN, read_question
from labkit.course.text import read_texts
from labkit.errors import BadInput, NotFound
from labkit.language import LANGUAGES, set_language
from labkit.model.machine import Accelerator, MachineState

SLUGS = tuple(read_texts("predictions"))


def choose(prediction: Prediction, slug: str) -> None:
    """Do what the browser does when the reader presses an option."""
    prediction._receive("choose", {"choice": slug})


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("code", LANGUAGES)
def test_every_prediction_is_asked_in_every_language(slug: str, code: str) -> None:
    set_language(code)
    try:
        question = read_question(slug)
    finally:
        set_language(None)
    assert question.text.strip()
    assert len(question.options) >= 3
    assert all(option.text for option in question.options)
    assert len({option.slug for option in question.options}) == len(question.options)


@pytest.mark.parametrize("slug", SLUGS)
def test_ranges_rise_and_the_last_is_open(slug: str) -> None:
    bounds = [option.below for option in read_question(slug).options[:-1]]
    if any(bound is not None for bound in bounds):
        assert bounds[-1] is None
        limits = [bound for bound in bounds if bound is not None]
        assert limits == sorted(limits)
        assert len(limits) == len(bounds) - 1


@pytest.mark.parametrize("slug", SLUGS)
def test_not_knowing_is_an_answer(slug: str) -> None:
    assert read_question(slug).options[-1].slug == UNKNOWN


@pytest.mark.parametrize(
    ("slug", "observed", "option"),
    [
        ("boot-time", 1.9, "blink"),
        ("boot-time", 2, "breath"),
        ("boot-time", 4000, "longer"),
        ("memory-given", 126 * 2**20, "part"),
        ("memory-given", 600 * 2**20, "all"),
        ("files-of-a-machine", 4, "a-few"),
        ("who-runs", Accelerator.TCG, "tcg"),
        ("panic-state", MachineState.PAUSED, "paused"),
        ("panic-neighbour", False, "no"),
    ],
)
def test_observation_belongs_to_one_option(slug: str, observed: object, option: str) -> None:
    assert read_question(slug).classify(observed).slug == option


def test_observation_that_fits_no_option_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        read_question("panic-state").classify(MachineState.SAVED)
    assert "running, paused, off" in refusal.value.hint


def test_unknown_prediction_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(NotFound) as refusal:
        predict("boot-tme")
    assert "boot-time" in refusal.value.hint


def test_answer_is_kept_and_may_be_changed(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    assert prediction.choice is None
    choose(prediction, "blink")
    choose(prediction, "coffee")
    again = Prediction("boot-time", progress=progress).choice
    assert again is not None
    assert again.slug == "coffee"


def test_twins_say_how_to_answer_and_hold_no_answer(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    before = prediction._repr_mimebundle_()
    choose(prediction, "blink")
    after = prediction._repr_mimebundle_()
    for kind in ("text/plain", "text/html"):
        assert before[kind] == after[kind]
    assert 'predict("boot-time").choose("blink"), or "breath", "coffee", "longer", "unknown".' in str(
        after["text/plain"]
    )


def test_it_can_be_answered_without_a_button(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    assert prediction.choose("coffee").choice == prediction.question.option("coffee")
    with pytest.raises(BadInput, match="no answer"):
        prediction.choose("tea")


def test_live_view_marks_the_choice_by_more_than_colour(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    choose(prediction, "blink")
    buttons = prediction.body(live=True).find("button")
    pressed = [button for button in buttons if button.attributes["aria-pressed"] == "true"]
    assert [button.text for button in pressed] == ["● less than 2 seconds"]


@pytest.mark.parametrize(
    ("choice", "verdict"),
    [
        (None, "You have not predicted anything."),
        (UNKNOWN, "You said that you did not know; now you do."),
        ("breath", "As you predicted."),
        ("coffee", "Not as you predicted: what explains the difference?"),
    ],
)
def test_reveal_compares_in_words(progress: CourseProgress, choice: str | None, verdict: str) -> None:
    prediction = Prediction("boot-time", progress=progress)
    if choice:
        choose(prediction, choice)
    revealed = prediction.reveal(4.2)
    assert revealed.verdict == verdict
    assert "The machine says: 2 to 10 seconds" in revealed.page().text


def test_what_is_chosen_after_the_reveal_does_not_count_as_predicted(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    revealed = prediction.reveal(4.2)
    revealed._repr_mimebundle_()
    choose(Prediction("boot-time", progress=progress), "breath")
    assert revealed._view is not None
    shown = str(revealed._view.page)
    assert "You chose afterwards: 2 to 10 seconds" in shown
    assert "As you predicted." not in shown
    assert "does not count as predicted" in Prediction("boot-time", progress=progress).page().text


def test_a_prediction_stays_as_it_was_once_the_machine_has_answered(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    choose(prediction, "coffee")
    revealed = prediction.reveal(4.2)
    choose(prediction, "breath")
    assert prediction.choice == prediction.question.option("coffee")
    assert revealed.verdict == "Not as you predicted: what explains the difference?"
    buttons = list(prediction.body(live=True).find("button"))
    assert all(button.attributes["aria-disabled"] == "true" for button in buttons)
    assert {button.attributes["title"] for button in buttons} == {
        "Your prediction is kept as it was: the machine has answered."
    }


def test_forgotten_it_may_be_predicted_again(progress: CourseProgress) -> None:
    prediction = Prediction("boot-time", progress=progress)
    prediction.reveal(4.2)
    progress.forget("boot-time")
    choose(prediction, "breath")
    assert prediction.reveal(4.2).verdict == "As you predicted."


def test_twins_of_a_reveal_hold_only_what_every_computer_observes(progress: CourseProgress) -> None:
    fast, slow = (Prediction("boot-time", progress=progress).reveal(seconds) for seconds in (1, 99))
    assert repr(fast) == repr(slow)
    assert fast.static() == slow.static()
    assert "it is off" in repr(Prediction("panic-state", progress=progress).reveal("off"))
