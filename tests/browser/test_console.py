"""The console in JupyterLab: typed on and read by several viewers, whatever the kernel does; it ends with its guest."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from labkit.machine import Machine
from tests.browser.conftest import Server, Window

MINUTE = 60_000
NOTEBOOK = "console.ipynb"
CODE = "from labkit import Lab\nfrom labkit.widgets import Console\nlab = Lab.open()"
BUSY = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end:\n    pass"
THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A booted machine in the lab that the notebook opens."""
    with Lab.open() as opened:
        yield opened.create("web").start().wait_ready()
        opened.clean()


@pytest.fixture
def page(server: Server, window: Window, machine: Machine) -> Page:
    """A notebook with a console, run, and a cell that keeps the kernel busy."""
    if not machine.facts.is_active:
        machine.start().wait_ready()
    cells = [CODE, 'Console(lab, "web")', BUSY]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, server.root / "notebooks" / NOTEBOOK)
    open_notebook(window.page, server)
    return window.page


def open_notebook(page: Page, server: Server) -> None:
    """Open the notebook, run its first two cells, and wait until the console is joined to the machine."""
    page.goto(server.url(NOTEBOOK))
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=MINUTE)
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(console(page)).to_contain_text("Joined to the serial line", timeout=MINUTE)
    expect(screen(page)).to_contain_text("# ", timeout=MINUTE)


def console(page: Page) -> Locator:
    """Return the console in the notebook."""
    return page.locator("labkit-console")


def screen(page: Page) -> Locator:
    """Return the lines that the console shows."""
    return page.locator("labkit-console .xterm-rows")


def type_line(page: Page, line: str) -> None:
    """Type a line into the console, as a person does."""
    page.locator("labkit-console textarea").focus()
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def test_the_guest_answers_what_is_typed_while_a_cell_runs(page: Page, window: Window) -> None:
    type_line(page, "echo sum $((20 + 22))")
    expect(screen(page)).to_contain_text("sum 42", timeout=10_000)

    page.locator(".jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Control+Enter")
    busy = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(busy).to_have_text("[*]:", timeout=10_000)
    type_line(page, "echo sum $((30 + 3))")
    expect(screen(page)).to_contain_text("sum 33", timeout=5_000)
    assert busy.inner_text() == "[*]:", "the cell had ended before"
    assert [text for text in window.complaints if re.search("labkit|anywidget|widget", text)] == []
