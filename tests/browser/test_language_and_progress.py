"""Two panels follow a switch of the language; an act that a cell waits for is shown over the page and stopped there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import nbformat
import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window
from tests.widgets.waiting import eventually

MINUTE = 60_000
CODE = "from labkit import Lab\nfrom labkit.widgets import MachinePanel, SnapshotPanel\nlab = Lab.open()"
SLOW = "lab.machines['web'].start().wait_ready()"
LONG = "lab.disks['big'].convert('copy', format='vdi', allocation='fixed')"
INTERRUPT = "window.jupyterapp.commands.execute('notebook:interrupt-kernel')"
CANCEL = """new Promise(tell => {
  const watcher = new MutationObserver(() => look());
  const look = () => {
    const button = document.querySelector(".labkit-float [data-action=cancel]");
    if (!button) return;
    watcher.disconnect();
    button.click();
    tell(document.querySelector(".labkit-float").innerText);
  };
  watcher.observe(document.body, {subtree: true, childList: true});
  look();
})"""
"""Presses Cancel in the box over the page as soon as it is there, and tells what the box says."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens: a machine that is off."""
    with Lab.open() as opened:
        opened.create("web").snapshots.take("clean")
        opened.disks.create("big", capacity="1 GiB", format="raw", allocation="fixed")
        yield opened
        opened.clean()


@pytest.fixture
def page(server: Server, window: Window, lab: Lab) -> Page:  # noqa: ARG001 — the notebook needs what is in it
    """A notebook with two panels, run, and two cells that take a while, not yet run."""
    cells = [CODE, 'MachinePanel(lab, "web")', 'SnapshotPanel(lab, "web")', SLOW, LONG]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, server.root / "notebooks" / "switch.ipynb")
    page = window.page
    page.goto(server.url("switch.ipynb"))
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=MINUTE)
    page.keyboard.press("Control+b")  # the side bar goes
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)
    page.locator(".jp-CodeCell .cm-content").first.click()
    for _cell in range(3):
        page.keyboard.press("Shift+Enter")
    expect(page.locator("section.labkit-panel")).to_have_count(2, timeout=MINUTE)
    return page


def test_language_large_letters_and_acts_over_the_page(page: Page, window: Window, lab: Lab) -> None:
    machine, snapshots = (page.locator(f"section[data-kind={kind}Panel]") for kind in ("Machine", "Snapshot"))
    expect(heading(snapshots)).to_have_text("Snapshots of web")
    ask_for_a_plan(page, snapshots)
    machine.get_by_role("button", name="Español").click()
    expect(heading(snapshots)).to_have_text("Instantáneas de web")
    expect(snapshots.locator(".labkit-plan [role=heading]")).to_have_text("Plan: Tomar later")
    expect(snapshots.get_by_role("treeitem", name="estás aquí")).to_be_visible()
    for panel in (machine, snapshots):
        expect(panel.get_by_role("button", name="Español")).to_have_attribute("aria-pressed", "true")
        expect(panel).to_have_attribute("lang", "es")
    snapshots.get_by_role("button", name="English").click()
    expect(machine.get_by_role("button", name="Start")).to_be_visible()

    machine.get_by_role("button", name="Large letters").click()
    expect(snapshots.get_by_role("button", name="Large letters")).to_have_attribute("aria-pressed", "true")
    expect(snapshots).to_have_css("font-size", "24px")
    machine.get_by_role("button", name="Large letters").click()
    expect(snapshots).not_to_have_css("font-size", "24px")

    said = run_cell(page, -2)
    floating = page.locator(".labkit-float")
    expect(floating).to_contain_text("Waiting for web", timeout=MINUTE)
    page.evaluate(INTERRUPT)
    expect(said).to_have_text("Cancelled: Waiting for web was cancelled.", timeout=MINUTE)
    expect(floating).to_have_count(0)

    said = run_cell(page, -1)
    eventually(lambda: is_held(str(lab.home)))
    assert "convert big" in page.evaluate(CANCEL)
    expect(said).to_contain_text("convert big was interrupted and taken back: all is as before.", timeout=MINUTE)
    expect(said).not_to_contain_text("Traceback")
    expect(floating).to_have_count(0)
    assert "copy" not in lab.disks
    assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


def run_cell(page: Page, place: int) -> Locator:
    """Begin to run a cell, counted as in a list; returns where it speaks."""
    cell = page.locator(".jp-CodeCell").nth(place)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return cell.locator(".jp-OutputArea")


def is_held(home: str) -> bool:
    """Let the conversion stand still once it has begun, so that it is under way when the box is pressed."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or ()
        if process.info["name"] == "qemu-img" and "convert" in words and any(home in word for word in words):
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                return True
    return False


def heading(panel: Locator) -> Locator:
    """Return a panel's heading."""
    return panel.locator("[role=heading]").first


def ask_for_a_plan(page: Page, panel: Locator) -> None:
    """Ask for the plan of a snapshot."""
    panel.locator("form[data-action=take] input").fill("later")
    page.keyboard.press("Enter")
    expect(panel.locator(".labkit-plan")).to_be_focused(timeout=MINUTE)
