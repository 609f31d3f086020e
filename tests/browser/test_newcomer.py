"""A newcomer's path: open the first notebook, run all of it, go back to the panel and press its buttons."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window

RUN_SECONDS = 180
SHOWN_WITHIN = 2.0
"""Seconds after the hypervisor's event until the panel shows it, while a guest boots beside it."""

DONE = re.compile(r"\[\d+\]:")
"""What stands beside a cell that has run."""

WHEN_SHOWN = """(panel, state) => new Promise(tell => {
  const look = () => {
    if (!panel.querySelector(".labkit-badge").textContent.includes(state)) return;
    watcher.disconnect();
    tell(Date.now() / 1000);
  };
  const watcher = new MutationObserver(look);
  watcher.observe(panel, {subtree: true, childList: true, characterData: true});
  look();
})"""

MINUTE = 60_000


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens."""
    with Lab.open() as opened:
        yield opened
        opened.clean()


@pytest.mark.alone
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

    assert seconds_until_shown(panel, lab, "start", "running") < SHOWN_WITHIN
    expect(panel).to_contain_text("This is first, a tiny Linux", timeout=MINUTE)
    expect(panel.locator("svg")).to_be_visible()
    assert seconds_until_shown(panel, lab, "kill", "off") < SHOWN_WITHIN

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


def seconds_until_shown(panel: Locator, lab: Lab, action: str, state: str) -> float:
    """Press a button; return how long after the hypervisor's first event the panel shows the state."""
    told: SimpleQueue[float] = SimpleQueue()
    unsubscribe = lab.subscribe(lambda event: told.put(time.time()) if event.kind == "lifecycle" else None)
    try:
        panel.locator(f"button[data-action={action}]").click()
        shown = float(panel.evaluate(WHEN_SHOWN, state))
        return shown - told.get(timeout=60)
    finally:
        unsubscribe()
