"""A newcomer's path: open the first notebook, run all of it, go back to the panel and press its buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window

RUN_SECONDS = 480
DONE = re.compile(r"\[\d+\]:")
"""What stands beside a cell that has run."""

MINUTE = 60_000


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens."""
    with Lab.open() as opened:
        yield opened
        opened.clean()


def test_newcomer_runs_the_first_notebook(server: Server, window: Window, lab: Lab) -> None:
    page = window.page
    page.goto(server.url("en/00-your-lab.ipynb"))
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=MINUTE)
    page.keyboard.press("Control+b")  # the side bar goes, the notebook gets its room
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)

    run_all(page)
    assert "first" not in lab.machines, "the clean-up left something"

    for code in ("lab = Lab.open()", 'vm = lab.create("first"', "MachinePanel(vm)"):
        run_cell(page, code)
    panel = page.locator("section.labkit-panel[data-kind=MachinePanel]").last
    expect(panel.locator(".labkit-badge").first).to_contain_text("off")

    panel.locator("button[data-action=start]").click()
    expect(panel.locator(".labkit-badge").first).to_contain_text("running", timeout=MINUTE)
    expect(panel).to_contain_text("This is first, a tiny Linux", timeout=MINUTE)
    expect(panel.locator("svg")).to_be_visible()
    panel.locator("button[data-action=kill]").click()
    expect(panel.locator(".labkit-badge").first).to_contain_text("off", timeout=MINUTE)

    assert [text for text in window.complaints if re.search("labkit|anywidget|widget", text)] == []


def run_all(page: Page) -> None:
    """Run all cells and wait for the end of the last one."""
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text("[*]:")
    expect(last).to_have_text(DONE, timeout=RUN_SECONDS * 1000)


def run_cell(page: Page, code: str) -> None:
    """Run the cell that holds this code, and wait for its end."""
    cell = page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=code))
    cell.scroll_into_view_if_needed()
    before = cell.locator(".jp-InputPrompt").inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).not_to_have_text(before)
    expect(cell.locator(".jp-InputPrompt")).to_have_text(DONE)
