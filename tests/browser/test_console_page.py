"""A console among panels on one page: copied from and pasted to, read aloud, without its kernel, server or machine.

One JupyterLab, one page and one guest serve all tests here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from labkit import Lab
from labkit.machine import Machine
from tests.browser.conftest import Server
from tests.browser.hands import panel, save
from tests.browser.jupyter import MINUTE, open_notebook, open_page, run_all, start_server, write_notebook

NOTEBOOK = "page.ipynb"
CELLS = [
    "from labkit import Lab\nfrom labkit.widgets import Console, MachinePanel\nlab = Lab.open()",
    'Console(lab, "web")',
    'MachinePanel(lab, "web")',
    'if "short" in lab.machines: display(Console(lab, "short"))',
]
CHANGE = "window.jupyterapp.shell.currentWidget.context.model.dirty = true"
LEAVE = "Control+Shift+ArrowDown"
RESTART = "void window.jupyterapp.commands.execute('notebook:restart-kernel')"
MISSING = "The console needs labkit's part in Jupyter's server, which is not there. Start JupyterLab with ./lab up"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine in the lab that the notebook opens, with a shell on its console."""
    with Lab.open() as opened:
        vm = opened.create("web").start(warm=True).wait_ready()
        vm.console.send("")
        vm.console.expect("# ")
        yield vm
        opened.clean()


@pytest.fixture(scope="module")
def opened(server: Server, browser: Browser) -> Iterator[Page]:
    """A page that may use the clipboard."""
    with open_page(browser, height=1600) as window:
        window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        write_notebook(server, NOTEBOOK, CELLS)
        open_notebook(window.page, server, NOTEBOOK)
        window.page.evaluate("window.jupyterapp.commands.execute('docmanager:toggle-autosave')")
        yield window.page


@pytest.fixture
def page(opened: Page, machine: Machine) -> Page:  # noqa: ARG001 — the notebook needs it
    """The page with a console that is joined to the guest, and a panel of the same machine; both new."""
    run_all(opened)
    expect(console(opened)).to_contain_text("Joined to the serial line", timeout=MINUTE)
    expect(screen(opened)).to_contain_text("# ", timeout=MINUTE)
    expect(panel(opened, "MachinePanel").locator("button[data-action=console]")).to_be_enabled(timeout=MINUTE)
    return opened


def console(page: Page) -> Locator:
    """Return the console in its own panel."""
    return panel(page, "Console").first.locator("labkit-console")


def screen(page: Page) -> Locator:
    """Return the lines that it shows."""
    return console(page).locator(".xterm-rows")


def type_line(page: Page, line: str) -> None:
    """Type a line into the console, as a person does."""
    console(page).locator("textarea").focus()
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def restart(page: Page) -> None:
    """Restart the kernel, and wait until the panels say so."""
    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    note = panel(page, "Console").first.get_by_role("alert")
    expect(note).to_contain_text("The kernel was restarted", timeout=MINUTE)


def test_a_word_is_copied_and_a_line_is_pasted(page: Page) -> None:
    type_line(page, "clear; echo copied-$((6 * 7))")
    row = screen(page).locator("div", has_text="copied-42").last
    expect(row).to_be_visible(timeout=MINUTE)
    row.dblclick(position={"x": 20, "y": 5}, force=True)  # the terminal takes the mouse for its lines
    page.keyboard.press("Control+Shift+c")
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('copied-42'))")

    page.evaluate("navigator.clipboard.writeText('echo pasted-$((3 * 4))')")
    page.keyboard.press("Control+Shift+v")
    expect(screen(page)).to_contain_text("echo pasted-$((3 * 4))", timeout=MINUTE)
    page.keyboard.press("Enter")
    expect(screen(page)).to_contain_text("pasted-12", timeout=MINUTE)


def test_a_screen_reader_hears_what_is_printed_and_the_choice_stays(page: Page) -> None:
    aloud = console(page).get_by_label("For a screen reader")
    aloud.check()
    type_line(page, "echo heard-$((5 * 5))")
    expect(console(page).get_by_role("listitem").filter(has_text="heard-25").last).to_be_attached(timeout=MINUTE)
    expect(console(page).locator("[aria-live]").last).to_contain_text("heard-25", timeout=MINUTE)
    run_all(page)
    expect(console(page)).to_contain_text("Joined to the serial line", timeout=MINUTE)
    expect(aloud).to_be_checked()
    aloud.uncheck()


def test_it_goes_on_without_its_kernel(page: Page) -> None:
    restart(page)
    type_line(page, "echo alone-$((7 * 9))")
    expect(screen(page)).to_contain_text("alone-63", timeout=MINUTE)
    expect(console(page).get_by_role("button", name="Open as a tab")).to_be_enabled()


def test_a_reload_keeps_what_has_scrolled_away(page: Page) -> None:
    type_line(page, "for i in $(seq 200); do echo line $i of many; done")
    expect(screen(page)).to_contain_text("line 200 of many", timeout=MINUTE)
    page.keyboard.press(LEAVE)
    save(page)
    page.reload()
    expect(screen(page)).to_contain_text("line 200 of many", timeout=MINUTE)
    console(page).locator("textarea").focus()
    for _page in range(9):
        page.keyboard.press("Shift+PageUp")
    expect(screen(page)).to_contain_text("line 12 of many")


def test_control_s_saves_the_notebook_wherever_the_focus_is_but_in_the_terminal(page: Page) -> None:
    machine, unsaved = panel(page, "MachinePanel"), page.locator(".jp-mod-dirty")
    machine.locator("summary", has_text="Change memory").click()
    for place in (
        console(page).get_by_role("button", name="Open as a tab"),
        console(page).get_by_label("For a screen reader"),
        machine.locator("button[data-action=pause]"),
        machine.locator("input[name=memory]"),
        machine.locator("summary").first,
    ):
        page.evaluate(CHANGE)
        expect(unsaved).not_to_have_count(0)
        place.focus()
        save(page)


def test_the_panel_of_the_machine_opens_and_closes_a_console_of_its_own(page: Page) -> None:
    machine = panel(page, "MachinePanel")
    machine.get_by_role("button", name="Console", exact=True).click()
    expect(machine.get_by_role("group", name="Console of web")).to_be_focused(timeout=MINUTE)
    expect(machine.locator("labkit-console")).to_contain_text("Joined to the serial line", timeout=MINUTE)
    type_line(page, "echo both-$((8 * 8))")
    expect(machine.locator(".xterm-rows")).to_contain_text("both-64", timeout=MINUTE)
    machine.get_by_role("button", name="Close the console").click()
    expect(machine.locator("labkit-console")).to_have_count(0)
    expect(machine).to_contain_text("both-64")  # among its last lines


def test_machine_that_is_deleted_ends_it_with_a_sentence(page: Page, machine: Machine) -> None:
    lab = machine.lab
    lab.create("short", image="sector", memory="16 MiB").start()
    run_all(page)
    of_short = panel(page, "Console").nth(1).locator("labkit-console")
    expect(of_short).to_contain_text("Joined to the serial line of short", timeout=MINUTE)
    lab.machines["short"].kill()
    expect(of_short).to_contain_text("short is not running. Start it", timeout=MINUTE)
    restart(page)  # from now on the page is alone with the server
    lab.machines["short"].delete()
    expect(of_short).to_contain_text("short is no longer in the lab.", timeout=MINUTE)


@pytest.mark.usefixtures("machine")
def test_without_labkits_part_of_the_server_it_says_what_to_do(
    opened: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert opened.context.browser is not None
    without = "--ServerApp.jpserver_extensions=labkit.server=False"
    with start_server(tmp_path_factory.mktemp("bare"), without) as bare:
        other = opened.context.browser.new_context().new_page()
        write_notebook(bare, NOTEBOOK, CELLS[:2])
        open_notebook(other, bare, NOTEBOOK)
        run_all(other)
        expect(panel(other, "Console")).to_contain_text(MISSING, timeout=MINUTE)
        other.context.close()
