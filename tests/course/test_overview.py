"""How far a student is: read from notebooks, progress and lab; as text, as a panel, as a page to hand in."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course import CoursePanel, exercise
from labkit.course.copies import WorkingCopies
from labkit.course.overview import read_overview
from labkit.course.progress import CourseProgress, KeptFigure
from labkit.course.result import Stand
from labkit.course.results import this_place
from tests.widgets.waiting import eventually

NAME, NEXT = "en/00-your-lab", "en/01-host-and-guest"


def write(path: Path, *cells: str) -> None:
    """Write a notebook; what begins with # is prose."""
    table: list[dict[str, object]] = [
        {"cell_type": "markdown" if text.startswith("#") else "code", "id": f"c{at}", "metadata": {}, "source": text}
        for at, text in enumerate(cells)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": table, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def copies(tmp_path: Path) -> WorkingCopies:
    """A course of two notebooks and an index, and the student's copies of it."""
    course = tmp_path / "course"
    write(course / f"{NAME}.ipynb", "# Your lab", "## 1 · Floors", 'predict("floors")', 'predict("floors").reveal(4)',
          "## 2 · Boot", 'predict("boot-time")', "## 3 · Work", 'ex = exercise("primer-arranque", lab)')  # fmt: skip
    write(course / f"{NEXT}.ipynb", "# Host and guest", "## 1 · Memory", 'predict("memory-given")')
    write(course / "en" / "index.ipynb", "# The course", "CoursePanel()")
    copies = WorkingCopies(course, tmp_path / "work")
    copies.update()
    return copies


def test_it_tells_what_is_asked_answered_and_done(copies: WorkingCopies, progress: CourseProgress, lab: Lab) -> None:
    first, second = read_overview(lab, copies=copies, progress=progress).notebooks
    assert (first.title, first.asked, first.answered, first.next_section) == ("Your lab", 2, 0, "1 · Floors")
    assert (second.title, second.exercises) == ("Host and guest", ())
    assert [(each.slug, each.stand) for each in first.exercises] == [("first-boot", Stand.OPEN)]

    progress.record_answer("floors", "three")
    assert read_overview(lab, copies=copies, progress=progress).notebooks[0].next_section == "2 · Boot"
    progress.record_revealed("boot-time")
    progress.record_answer("boot-time", "blink")
    overview = read_overview(lab, copies=copies, progress=progress)
    assert overview.notebooks[0].answered == 1  # what was chosen after the machine had answered does not count
    assert overview.notebooks[0].next_section is None  # and cannot be answered any more
    assert overview.next_notebook == overview.notebooks[1]


def test_exercise_is_begun_while_its_machines_are_there(
    copies: WorkingCopies, progress: CourseProgress, lab: Lab
) -> None:
    def stand() -> Stand:
        return read_overview(lab, copies=copies, progress=progress).notebooks[0].exercises[0].stand

    lab.create(exercise("first-boot").machine, image="sector", memory="4 MiB")
    assert stand() is Stand.BEGUN
    progress.record_done("first-boot")
    assert stand() is Stand.DONE


def test_figures_of_elsewhere_are_told_apart(copies: WorkingCopies, progress: CourseProgress, lab: Lab) -> None:
    host, accelerator = this_place(lab)
    progress.record_result(KeptFigure(slug="boot-time", value=4.2, unit="s", host=host, accelerator=accelerator))
    progress.record_result(KeptFigure(slug="boot-time", value=0.5, unit="s", host="other", accelerator="kvm"))
    overview = read_overview(lab, copies=copies, progress=progress)
    lines = [line for line in overview.text.splitlines() if "a machine starts" in line]
    assert ["another computer" in line for line in sorted(lines)] == [True, False]
    assert overview.report.count('class="elsewhere"') == 1


def test_report_is_a_page_of_its_own(copies: WorkingCopies, progress: CourseProgress, lab: Lab) -> None:
    report = read_overview(lab, copies=copies, progress=progress).report
    assert report.startswith("<!DOCTYPE html>")
    assert "How many floors are there below your machines" in report
    assert "0 of 2 predictions, 0 of 1 exercise done" in report
    assert not any(word in report for word in ("<script", "src=", "href=", "data-action"))


def test_panel_shows_the_way_on_and_its_twin_holds_nothing_of_it(
    copies: WorkingCopies, progress: CourseProgress, lab: Lab
) -> None:
    panel = CoursePanel(lab, copies=copies, progress=progress)
    empty = panel._repr_mimebundle_()
    assert "Begin: Your lab" in panel.page().text
    assert "Begin: Your lab · 1" not in panel.page().text
    progress.record_answer("floors", "three")
    panel._receive("again", {})
    assert "Go on: Your lab · 2 · Boot" in panel.page().text
    assert panel._repr_mimebundle_()["text/html"] == empty["text/html"]
    assert repr(panel) == "CoursePanel: how far you are in the course"


def test_panel_resets_a_notebook_after_a_question(copies: WorkingCopies, progress: CourseProgress, lab: Lab) -> None:
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel.refresh()
    write(copies.path(NAME), "mine")
    progress.record_answer("floors", "three")
    panel._receive("ask-reset", {"subject": NAME})
    assert "its predictions are forgotten. Yours stays" in panel.page().text
    panel._receive("reset", {"subject": NAME})
    assert "en/00-your-lab is new; the one before it is en/earlier/00-your-lab.ipynb." in panel.page().text
    assert "mine" in (copies.work / "en" / "earlier" / "00-your-lab.ipynb").read_text()
    assert progress.answer("floors") is None


@pytest.mark.parametrize("choice", ["keep-mine", "take-new", "both"])
def test_panel_offers_what_is_newer(copies: WorkingCopies, progress: CourseProgress, lab: Lab, choice: str) -> None:
    write(copies.path(NAME), "# Mine", "mine")
    write(copies.originals / f"{NAME}.ipynb", "# Newer", "newer")
    copies.update()
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel.refresh()
    assert "There is a newer version of this notebook." in panel.page().text
    panel._receive(choice, {"subject": NAME})
    assert "There is a newer version of this notebook." not in panel.page().text
    assert any('"mine"' in path.read_text() for path in copies.work.rglob("*.ipynb"))
    assert ('"mine"' in copies.path(NAME).read_text()) == (choice == "keep-mine")


def test_panel_writes_the_report(copies: WorkingCopies, progress: CourseProgress, lab: Lab) -> None:
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel._receive("report", {})
    page = panel.page()
    assert f"The report is report.html, in the folder {copies.work}" in page.text
    (opener,) = [button for button in page.find("button") if button.attributes.get("data-open") == "report.html"]
    assert opener.text == "Open the report"
    panel._receive("again", {})
    assert "Open the report" not in panel.page().text
    assert (copies.work / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_panel_follows_by_itself_what_another_kernel_writes(
    copies: WorkingCopies, progress: CourseProgress, lab: Lab
) -> None:
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel._repr_mimebundle_()
    assert "0 of 2 predictions" in panel.page().text
    CourseProgress(progress.path.parent).record_answer("floors", "three")
    eventually(lambda: "1 of 2 predictions" in panel.page().text)
    assert "○ open" in panel.page().text
    lab.create("first-boot", image="sector", memory="4 MiB")
    eventually(lambda: "◐ begun" in panel.page().text)
    progress.record_done("first-boot")
    eventually(lambda: "✓ done" in panel.page().text)


def test_a_panel_that_was_closed_is_no_longer_followed_for(
    copies: WorkingCopies, progress: CourseProgress, lab: Lab
) -> None:
    before = len(watchers())
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel._repr_mimebundle_()
    panel._repr_mimebundle_()
    assert len(watchers()) == before + 1
    panel.close()
    eventually(lambda: len(watchers()) == before)


def watchers() -> list[threading.Thread]:
    """Return the threads that follow the student's files."""
    return [thread for thread in threading.enumerate() if thread.name == "labkit course: following"]


def test_what_was_told_stands_at_the_notebook_and_its_button_stays(
    copies: WorkingCopies, progress: CourseProgress, lab: Lab
) -> None:
    panel = CoursePanel(lab, copies=copies, progress=progress)
    panel.refresh()
    panel._receive("ask-reset", {"subject": NEXT})
    asked = [each for each in panel.page().find("button") if each.attributes.get("data-action") == "ask-reset"]
    assert [each.attributes["data-subject"] for each in asked] == [NAME, NEXT]
    panel._receive("reset", {"subject": NEXT})
    first, second = [fold for fold in panel.page().find("details") if "Open" in fold.text]
    assert "is new; the one before it" in second.text
    assert "open" in second.attributes
    assert "is new" not in first.text
