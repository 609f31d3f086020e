"""The clean-up at the end of a notebook, and its stopwatch."""

from __future__ import annotations

from labkit import Lab
from labkit.course import Stopwatch, tidy, time_steps
from labkit.language import set_language


def test_tidy_deletes_the_machines_named_and_no_other(lab: Lab) -> None:
    for name in ("first", "second", "other"):
        lab.create(name, image="sector", memory="16 MiB")
    lab.machines["first"].start()
    tidy(lab, "first", "second", "never-made")
    assert list(lab.machines) == ["other"]


def test_tidy_leaves_the_machines_of_exercises(lab: Lab) -> None:
    lab.create("primer-arranque", image="sector", memory="16 MiB")
    tidy(lab, "primer-arranque")
    assert "primer-arranque" in lab.machines


def test_steps_are_taken_in_order_and_marked() -> None:
    taken: list[str] = []
    watch = time_steps(process=lambda: taken.append("a"), agent=lambda: taken.append("b"))
    assert taken == ["a", "b"]
    assert [mark.slug for mark in watch.marks] == ["process", "agent"]
    assert watch.marks[0].seconds <= watch.marks[1].seconds == watch.seconds


def test_marks_are_in_the_language_in_force_or_as_they_are() -> None:
    watch = Stopwatch()
    try:
        set_language("es")
        watch.mark("process")
    finally:
        set_language(None)
    watch.mark("cell-01")
    assert [mark.label for mark in watch.marks] == ["el anfitrión inició un proceso", "cell-01"]


def test_a_stopwatch_tells_no_seconds_in_its_repr() -> None:
    watch = Stopwatch()
    watch.mark("cell-01")
    assert repr(watch) == "Stopwatch: cell-01"
