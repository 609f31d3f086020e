"""The console in JupyterLab: typed on and read by several viewers, whatever the kernel does; it ends with its guest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from labkit.machine import Machine
from tests.browser.conftest import Server, Window
from tests.widgets.waiting import eventually

MINUTE = 60_000
NOTEBOOK = "console.ipynb"
CODE = "from labkit import Lab\nfrom labkit.widgets import Console\nlab = Lab.open()"
BUSY = "import time\nfrom pathlib import Path\nend = time.monotonic() + 120\nover = Path('over')"
BUSY += "\nwhile time.monotonic() < end and not over.exists():\n    pass"
LEAVE = "Control+Shift+ArrowDown"
COLUMNS = "document.querySelector('labkit-console').dataset.columns"
LETTERS = "console => getComputedStyle(console.querySelector('.xterm-rows')).color"
FITS = "panel => panel.getBoundingClientRect().right <= innerWidth && panel.scrollWidth <= panel.clientWidth + 1"
TAB_SHOWS = """words => {
  const lines = window.jupyterapp.shell.currentWidget?.content?._term?.buffer.active;
  if (!lines) return false;
  for (let at = 0; at < lines.length; at += 1) if (lines.getLine(at).translateToString().includes(words)) return true;
  return false;
}"""
"""Whether JupyterLab's terminal, which is drawn on a canvas, holds these words."""

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
    write_notebook(server, BUSY)
    open_notebook(window.page, server)
    return window.page


def write_notebook(server: Server, last: str) -> None:
    """Write a notebook with a console and another cell."""
    cells = [CODE, 'Console(lab, "web")', last]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, server.root / "notebooks" / NOTEBOOK)


def open_notebook(page: Page, server: Server) -> None:
    """Open the notebook, run its first two cells, and wait until the console is joined to the machine."""
    page.goto(server.url(NOTEBOOK), timeout=MINUTE)
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


def columns_of(page: Page) -> str:
    """Return how many columns the console has."""
    return str(page.evaluate(COLUMNS))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go: LABKIT_PICTURES, else the test's own folder."""
    return Path(os.environ.get("LABKIT_PICTURES", tmp_path))


def test_the_guest_answers_what_is_typed_while_a_cell_runs(page: Page, window: Window, server: Server) -> None:
    type_line(page, "echo sum $((20 + 22))")
    expect(screen(page)).to_contain_text("sum 42")

    page.locator(".jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Control+Enter")
    busy = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(busy).to_have_text("[*]:")
    type_line(page, "echo sum $((30 + 3))")
    expect(screen(page)).to_contain_text("sum 33")
    assert busy.inner_text() == "[*]:", "the cell had ended before"
    (server.root / "notebooks" / "over").touch()
    expect(busy).not_to_have_text("[*]:")
    assert [text for text in window.complaints if re.search("labkit|anywidget|widget", text)] == []


def test_a_tab_shows_the_same_and_a_reload_what_was_printed(page: Page, server: Server) -> None:
    type_line(page, "echo mark $((6 * 7))")
    expect(screen(page)).to_contain_text("mark 42")

    page.keyboard.press(LEAVE)
    expect(page.get_by_role("button", name="Open as a tab")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".lm-TabBar-tabLabel", has_text="Console of web")).to_be_visible(timeout=MINUTE)
    page.wait_for_function(TAB_SHOWS, arg="mark 42", timeout=MINUTE)
    page.locator(".jp-Terminal textarea").focus()
    page.keyboard.type("echo second $((7 * 7))\n")
    page.wait_for_function(TAB_SHOWS, arg="second 49", timeout=MINUTE)
    page.locator(".lm-TabBar-tabLabel", has_text=NOTEBOOK).click()
    expect(screen(page)).to_contain_text("second 49")

    open_notebook(page, server)
    expect(screen(page)).to_contain_text("mark 42", timeout=MINUTE)
    expect(screen(page)).to_contain_text("second 49")


def test_the_guest_hears_of_the_size(page: Page, machine: Machine) -> None:
    def told(columns: str) -> bool:
        return machine.run("stty -F /dev/ttyS0 size").stdout.split()[-1] == columns

    wide = columns_of(page)
    page.set_viewport_size({"width": 900, "height": 800})
    page.wait_for_function(f"{COLUMNS} < {wide}", timeout=MINUTE)
    eventually(lambda: told(columns_of(page)))


def test_it_ends_with_the_machine_and_goes_on_when_that_runs_again(page: Page, machine: Machine) -> None:
    type_line(page, "echo before $((40 + 2))")
    expect(screen(page)).to_contain_text("before 42")
    page.get_by_role("button", name="Open as a tab").click()
    page.wait_for_function(TAB_SHOWS, arg="before 42", timeout=MINUTE)
    tab = page.locator(".jp-Terminal")

    machine.kill()
    expect(tab).to_have_count(0)
    expect(console(page)).to_contain_text("web is not running.")
    expect(screen(page)).to_contain_text("before 42")

    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.press("Control+Enter")
    expect(console(page).locator(".labkit-console-screen .labkit-console-said")).to_contain_text("Start it")
    expect(page.get_by_role("button", name="Open as a tab")).to_have_attribute("aria-disabled", "true")

    page.locator("section.labkit-panel button[data-action=start]").click()
    expect(console(page)).to_contain_text("Joined to the serial line", timeout=MINUTE)
    expect(screen(page)).to_contain_text("This is web", timeout=MINUTE)


def test_looks_with_the_theme_and_fits_half_a_window(page: Page, pictures: Path) -> None:
    page.keyboard.press("Control+b")
    type_line(page, "ls --color=always /; uname -a")
    expect(screen(page)).to_contain_text("GNU/Linux")
    panel = page.locator("section.labkit-panel")
    for theme in ("light", "dark"):
        panel.screenshot(path=pictures / f"console-{theme}.png")
        before = console(page).evaluate(LETTERS)
        if theme == "light":
            page.evaluate(THEME, "JupyterLab Dark")
            expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false", timeout=MINUTE)
            page.wait_for_function(f"before => ({LETTERS})(document) !== before", arg=before, timeout=MINUTE)
    page.set_viewport_size({"width": 640, "height": 800})
    page.wait_for_function(FITS, arg=panel.element_handle(), timeout=MINUTE)


def test_follows_the_language_and_large_letters(page: Page) -> None:
    panel = page.locator("section.labkit-panel")
    for code, tab, joined in (("es", "Abrir como pestaña", "Conectada"), ("en", "Open as a tab", "Joined")):
        panel.locator(f"[data-action=language][data-subject={code}]").click()
        expect(console(page)).to_contain_text(tab, timeout=MINUTE)
        expect(console(page)).to_contain_text(joined)
    letters = "getComputedStyle(document.querySelector('labkit-console .xterm-rows')).fontSize"
    before = page.evaluate(letters)
    panel.locator("[data-large]").click()
    page.wait_for_function(f"before => parseFloat({letters}) > parseFloat(before)", arg=before, timeout=MINUTE)


def test_only_machines_of_a_lab_have_a_console(server: Server, machine: Machine) -> None:
    with Lab.open("other") as other:
        foreign = other.create("mail")
        status, said = ask(server, machine="mail")
        assert (status, said["message"]) == (404, "There is no machine 'mail' in this lab.")
        assert ask(server, machine=foreign.id)[0] == 404
        assert ask(server, lab="other", machine="mail")[0] == 409, "it does not run"
        other.clean()
    assert ask(server, lab="nowhere", machine="web")[1]["message"] == "There is no lab nowhere."
    assert ask(server, machine=["web"])[0] == 400

    status, said = ask(server, machine="web")
    assert status == 200
    assert said["name"].endswith(machine.id.replace("-", ""))


@pytest.mark.usefixtures("machine")
def test_a_domain_that_is_no_labs_machine_has_no_console(server: Server, tmp_path: Path) -> None:
    definition = tmp_path / "stray.xml"
    definition.write_text(
        "<domain type='qemu'><name>stray</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    )
    try:
        virsh("define", str(definition))
        uuid = virsh("domuuid", "stray").strip()
        assert ask(server, machine=uuid)[0] == 404
        assert ask(server, machine="stray")[0] == 404
        assert ask(server, machine="web")[0] == 200
    finally:
        virsh("undefine", "stray")


def virsh(*words: str) -> str:
    """Do what somebody would in a terminal; returns what it said."""
    command = ["virsh", "-q", "-c", "qemu:///session", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_stranger_gets_no_console(server: Server, machine: Machine) -> None:
    assert ask(server, token="", machine=machine.name)[0] == 403


def test_a_shell_never_gets_the_name_of_a_console(server: Server, machine: Machine) -> None:
    status, _said = post(server, "api/terminals", {"name": f"labkit_{machine.id.replace('-', '')}x"})
    assert status == 404


def ask(server: Server, token: str | None = None, **words: object) -> tuple[int, dict[str, str]]:
    """Ask for a machine's terminal; returns the HTTP status and what was said."""
    return post(server, "labkit/console", {"lab": "default", **words}, token)


def post(server: Server, address: str, body: object, token: str | None = None) -> tuple[int, dict[str, str]]:
    """Send JSON to the server; returns the HTTP status and what was said."""
    authorization = f"token {server.token if token is None else token}"
    request = urllib.request.Request(  # noqa: S310 — our own address
        f"{server.address}/{address}", json.dumps(body).encode(), {"Authorization": authorization}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read() or b"{}")
