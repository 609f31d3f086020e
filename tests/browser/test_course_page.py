"""Exercises and the course's panel in the browser, with the keyboard alone; an address at which nothing is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from labkit import Lab
from labkit.course.progress import CourseProgress
from tests.browser.conftest import Server, Window
from tests.browser.hands import focused, panel
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

EXERCISE = [
    "from labkit import Lab\nfrom labkit.course import exercise\nlab = Lab.open()",
    'ex = exercise("first-boot", lab)\nex',
    "ex.check()",
]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens; nobody has done the exercise."""
    with Lab.open() as opened:
        CourseProgress().forget("first-boot", "floors")
        yield opened
        opened.clean()


def go_to(page: Page, label: str) -> None:
    """Go on with the Tab key to the button that says so."""
    for _time in range(12):
        if focused(page, "textContent") == label:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not come to {label}")


def test_an_exercise_is_worked_at_with_the_keyboard_and_hears_of_a_cell(
    server: Server, window: Window, lab: Lab
) -> None:
    page = window.page
    write_notebook(server, "exercise.ipynb", EXERCISE)
    open_notebook(page, server, "exercise.ipynb")
    run_all(page)
    shown = panel(page, "ExercisePanel")
    expect(shown).to_contain_text("There is no machine first-boot.", timeout=MINUTE)  # a cell has asked
    shown.focus()
    go_to(page, "Next hint")
    page.keyboard.press("Enter")
    expect(shown.locator(".labkit-plan").last).to_be_focused(timeout=MINUTE)
    lab.create("first-boot", image="sector", memory="4 MiB")
    go_to(page, "Reset…")
    page.keyboard.press("Enter")
    expect(shown.get_by_role("group", name="Reset it")).to_be_focused()
    go_to(page, "Leave it")
    page.keyboard.press("Enter")
    expect(shown.get_by_role("button", name="Reset…")).to_be_focused()
    page.keyboard.press("Enter")
    expect(shown.get_by_role("group", name="Reset it")).to_be_focused()
    go_to(page, "Reset it")
    page.keyboard.press("Enter")
    expect(shown).to_contain_text("ex.reset()", timeout=MINUTE)
    assert "first-boot" not in lab.machines
    assert [text for text in window.complaints if "labkit" in text] == []


def test_after_a_reset_that_was_left_the_focus_is_where_it_was(server: Server, window: Window, lab: Lab) -> None:  # noqa: ARG001
    page = window.page
    open_notebook(page, server, "en/index.ipynb")
    run_all(page)
    shown = panel(page, "CoursePanel")
    reset = shown.get_by_role("button", name="Reset this notebook…").first
    reset.focus()
    page.keyboard.press("Enter")
    expect(shown.get_by_role("group", name="Reset this notebook…")).to_be_focused()
    go_to(page, "Leave it")
    page.keyboard.press("Enter")
    expect(reset).to_be_focused()
    CourseProgress().record_answer("floors", "three")
    expect(shown).to_contain_text("1 of 3 predictions", timeout=MINUTE)  # it follows by itself


def test_an_old_address_brings_the_notebook_that_may_be_meant(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/lab/tree/notebooks/03-discs.ipynb?token={server.token}")
    hint = page.get_by_role("button", name="Open notebooks/en/03-disks.ipynb")
    expect(hint).to_be_visible(timeout=MINUTE)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()  # what JupyterLab itself says
    hint.click()
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-RenderedMarkdown h1").first).to_contain_text(
        "Disks", timeout=MINUTE
    )
