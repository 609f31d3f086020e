"""Panels with the keyboard alone: fill in, ask for the plan, read it, confirm, see what came of it; light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window
from tests.browser.hands import confirm, focused, panel
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

CODE = ("from labkit import Lab", "from labkit.widgets import DiskPanel, SnapshotPanel", "lab = Lab.open()")
DARK = "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
IN_WINDOW = "panel => panel.getBoundingClientRect().right <= innerWidth"
TOO_WIDE = """panel => [...panel.querySelectorAll("*")]
  .filter(each => each.getBoundingClientRect().right > panel.getBoundingClientRect().right + 1)
  .map(each => each.outerHTML)"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens: a machine that is off, with a disk and two snapshots."""
    with Lab.open() as opened:
        machine = opened.create("web")
        machine.attach(opened.disks.create("notes", capacity="64 MiB"))
        machine.snapshots.take("clean").take("later")
        yield opened
        opened.clean()


@pytest.fixture
def page(server: Server, window: Window, lab: Lab) -> Page:  # noqa: ARG001 — the notebook needs what is in it
    """A notebook with both panels, run."""
    write_notebook(server, "panels.ipynb", ["\n".join(CODE), "DiskPanel(lab)", 'SnapshotPanel(lab, "web")'])
    open_notebook(window.page, server, "panels.ipynb")
    run_all(window.page)
    expect(window.page.locator("section.labkit-panel")).to_have_count(2, timeout=MINUTE)
    return window.page


def test_an_act_from_the_form_to_its_result_by_keyboard(page: Page, window: Window, lab: Lab) -> None:
    disks, snapshots = panel(page, "DiskPanel"), panel(page, "SnapshotPanel")

    disks.locator("summary", has_text="Create a disk").focus()
    page.keyboard.press("Enter")
    expect(disks.locator("form[data-action=create]")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page, "value") == "data"
    page.keyboard.press("Enter")
    confirm(page, disks, "Create data")
    assert "data" in lab.disks

    name = snapshots.locator("form[data-action=take] input")
    name.fill("fresh")
    page.keyboard.press("Enter")
    confirm(page, snapshots, "Take fresh")
    assert lab.machines["web"].snapshots.current == "fresh"
    expect(name).to_have_value("snapshot-1")
    assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


def test_panels_fit_half_a_window_in_both_themes(page: Page, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("LABKIT_PICTURES", tmp_path))
    for kind, file in (("DiskPanel", "disks"), ("SnapshotPanel", "snapshots")):
        panel(page, kind).screenshot(path=pictures / f"panel-{file}.png")
    page.set_viewport_size({"width": 640, "height": 800})
    for _theme in range(2):
        for kind in ("DiskPanel", "SnapshotPanel"):
            page.wait_for_function(IN_WINDOW, arg=panel(page, kind).element_handle())
            page.wait_for_function(f"panel => !({TOO_WIDE})(panel).length", arg=panel(page, kind).element_handle())
        page.evaluate(DARK)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false", timeout=MINUTE)
