"""A panel says that its kernel has left, on every page that shows it, and is live again when its cell has run again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window
from tests.browser.hands import panel, save
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

NOTEBOOK = "left.ipynb"
OPEN = """from labkit import Lab
from labkit.figures import draw_lineage
from labkit.widgets import MachinePanel
lab = Lab.open()"""
CELLS = [f"{OPEN}\ndraw_lineage(lab.lineage)", 'MachinePanel(lab, "web")']
NOTE = "The kernel was restarted or has ended"
PICTURE = re.compile("web")
"""What a picture of the lab says in words, for those who cannot see it."""
SAID_WITHIN = 10_000
"""Milliseconds after the reader said yes until the panel says so: two seconds, on a computer that is not busy."""

RESTART = "void window.jupyterapp.commands.execute('notebook:restart-kernel')"
SESSION = "window.jupyterapp.shell.currentWidget.context.sessionContext"
DIE = f"void {SESSION}.session.kernel.requestExecute({{code: 'import os; os._exit(1)'}})"
SHUT_DOWN = f"void {SESSION}.shutdown()"


@pytest.fixture
def page(server: Server, window: Window, quick_lab: Lab) -> Page:  # noqa: ARG001 — the notebook needs what is in it
    """A notebook with a panel, run and saved."""
    write_notebook(server, NOTEBOOK, CELLS)
    open_notebook(window.page, server, NOTEBOOK)
    run_all(window.page)
    expect_live(window.page, "off")
    expect(window.page.locator(".jp-RenderedImage img")).to_have_attribute("alt", PICTURE)
    save(window.page)
    return window.page


def test_restarted_kernel_is_told_on_both_pages_and_its_cells_run_again(
    page: Page, server: Server, quick_lab: Lab
) -> None:
    assert page.context.browser is not None
    second = page.context.browser.new_context().new_page()
    open_notebook(second, server, NOTEBOOK)
    expect_live(second, "off")

    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect_left(page, SAID_WITHIN)
    expect_left(second, MINUTE)  # it hears when the new kernel starts
    quick_lab.machines["web"].start()  # nobody shows it here

    run_all(page)
    expect_live(page, "running")
    button(page, "kill").click()
    expect_live(page, "off")
    assert quick_lab.machines["web"].state == "off"


def test_kernel_that_dies_or_is_shut_down_is_told(page: Page) -> None:
    page.evaluate(DIE)
    expect_left(page, MINUTE)
    page.get_by_role("button", name="OK").click()
    run_all(page)
    expect_live(page, "off")
    page.evaluate(SHUT_DOWN)
    expect_left(page, MINUTE)


def test_page_loaded_after_a_restart_shows_the_panel_as_it_was_saved(page: Page) -> None:
    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect_left(page, MINUTE)
    save(page)
    page.reload()
    output = page.locator(".jp-OutputArea-output").last
    expect(output).to_contain_text("This panel is a picture of the past, as it was saved.")
    expect(output).to_contain_text("16 MiB")
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    expect(page.locator(".jp-RenderedImage img")).to_have_attribute("alt", PICTURE)
    run_all(page)
    expect_live(page, "off")


def test_a_drawing_is_no_white_slab_on_a_dark_page(page: Page) -> None:
    picture = page.locator(".jp-RenderedImage img")
    light = picture.evaluate("img => getComputedStyle(img).filter")
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")  # what JupyterLab sets for a dark theme
    dark = picture.evaluate("img => getComputedStyle(img).filter")
    assert (light, "invert" in dark) == ("none", True)


def button(page: Page, action: str) -> Locator:
    """Return a button of the panel."""
    return panel(page, "MachinePanel").locator(f"button[data-action={action}]")


def expect_live(page: Page, state: str) -> None:
    """Wait until the panel shows the machine in a state, and its kernel is there."""
    shown = panel(page, "MachinePanel")
    expect(shown.locator(".labkit-badge").first).to_contain_text(state, timeout=MINUTE)
    expect(shown.get_by_role("alert")).to_have_count(0)
    expect(shown.locator("button[data-action=language]").first).to_be_enabled()


def expect_left(page: Page, within: float) -> None:
    """Wait until the panel says that its kernel has left; nothing can be pressed then."""
    expect(panel(page, "MachinePanel").get_by_role("alert")).to_contain_text(NOTE, timeout=within)
    expect(panel(page, "MachinePanel").locator("[data-action]:is(button, form button):enabled")).to_have_count(0)
