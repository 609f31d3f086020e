"""A key pressed on a control of a panel stays there: no command of JupyterLab hears it, and the cells stay as they are.

Which keys there are, JupyterLab itself says: the keys of its commands, so that a new one is tried, too. Of controls of
one panel that are alike in kind and looks, such as the buttons of many rows, one is tried; in the long form each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import pytest
from playwright.sync_api import Browser, Page, expect

from labkit import Lab
from tests.browser.conftest import Server
from tests.browser.hands import panel, save
from tests.browser.jupyter import MINUTE, open_notebook, open_page, run_all, write_notebook

CELLS = [
    "from labkit import Lab\nfrom labkit.widgets import *\nlab = Lab.open()",
    "from labkit.course import exercise, predict",
    "LabPanel(lab)",
    'MachinePanel(lab, "web")',
    'SnapshotPanel(lab, "web")',
    'ClonePanel(lab, "web")',
    'DiskPanel(lab, "notes")',
    'LineagePanel(lab, "web")',
    "HostPanel(lab)",
    "DoctorPanel(lab)",
    'Console(lab, "web")',
    'predict("boot-time")',
    'predict("boot-time").reveal(4.1)',
    'exercise("first-boot")',
    "'the last one'",
]
PANELS = len(CELLS) - 3

CONTROLS = ":is(button, input, select, textarea, summary, a[href], labkit-console, [tabindex])"
MARK = f"""() => {{
  for (const fold of document.querySelectorAll(".labkit details")) fold.open = true;
  const shown = [...document.querySelectorAll(".jp-OutputArea-output {CONTROLS}")].filter(
    each => each.getClientRects().length && !each.disabled && !each.matches("labkit-console"));
  shown.forEach((each, at) => each.setAttribute("data-at", at));
  const kindOf = each => each.role || each.localName + (each.matches("input, button") ? "." + each.type : "");
  const panelOf = each => each.closest("section.labkit-panel")?.getAttribute("aria-label");
  return shown.map(each => [
    kindOf(each), Boolean(each.closest(".labkit")), `${{panelOf(each)}} ${{each.className}}`]);
}}"""
"""Opens all folds, and numbers all that can have the focus; tells what each is, whether it is in a panel, and what is
alike in its panel."""

FOCUS = """at => {
  const control = document.querySelector(`[data-at="${at}"]`);
  control?.focus({preventScroll: true});
  return control !== null && document.activeElement === control;
}"""
LISTEN = """() => {
  window.heard = [];
  window.jupyterapp.commands.commandExecuted.connect((_, {id}) => window.heard.push(id));
}"""
HEARD = "window.heard.splice(0)"
KEYS = "window.jupyterapp.commands.keyBindings.map(each => [...each.keys])"
NOTEBOOK = """window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
  .map(cell => [cell.cell_type, cell.getSource()])"""

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
MODIFIERS = {"Ctrl": "Control", "Alt": "Alt", "Shift": "Shift", "Cmd": "Meta"}
GO_ON = {("Escape",), ("Tab",), ("Shift Tab",), ("Shift Enter",), ("Ctrl Enter",), ("Ctrl S",)}
"""What does not stay in a panel: saving, running the cell; Tab is the browser's."""


ACTS = {("Enter",), ("Space",)}
"""What presses a button."""

KINDS = {"button.button", "button.submit", "select", "input.text", "input.checkbox", "summary", "textarea", "treeitem"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens: a machine that runs, with a snapshot, a clone and a free disk."""
    with Lab.open() as opened:
        web = opened.create("web", image="sector", memory="16 MiB")
        web.snapshots.take("clean")
        web.clone("link", kind="linked", snapshot="clean")
        opened.disks.create("notes", capacity="8 MiB")
        web.start()
        yield opened
        opened.clean()


@pytest.fixture(scope="module")
def page(server: Server, browser: Browser, lab: Lab) -> Iterator[Page]:  # noqa: ARG001 — the notebook needs it
    """All panels in a notebook, on a page so high that all are in sight; a plan, an error, a row and a console open."""
    with open_page(browser, height=9000) as window:
        page = window.page
        write_notebook(server, "keys.ipynb", CELLS)
        open_notebook(page, server, "keys.ipynb")
        run_all(page)
        expect(page.locator("section.labkit-panel")).to_have_count(PANELS, timeout=MINUTE)
        expect(page.locator("labkit-console")).to_contain_text("Joined", timeout=MINUTE)
        expect(panel(page, "HostPanel")).to_contain_text("QEMU", timeout=MINUTE)
        expect(panel(page, "DoctorPanel").locator("strong").first).to_be_visible(timeout=MINUTE)
        panel(page, "SnapshotPanel").locator("form[data-action=take] [type=submit]").click()
        expect(panel(page, "SnapshotPanel").locator(".labkit-plan")).to_be_visible(timeout=MINUTE)
        clones = panel(page, "ClonePanel")
        clones.locator("form[data-action=clone] [name=count]").fill("many")
        clones.locator("form[data-action=clone] [type=submit]").click()
        expect(clones.locator(".labkit-error")).to_be_visible(timeout=MINUTE)
        panel(page, "LabPanel").locator(".labkit-opener").first.click()
        expect(panel(page, "LabPanel").locator(".labkit-details")).to_be_visible(timeout=MINUTE)
        panel(page, "MachinePanel").get_by_role("button", name="Console", exact=True).click()
        expect(panel(page, "MachinePanel").locator("labkit-console")).to_contain_text("Joined", timeout=MINUTE)
        page.evaluate(LISTEN)
        yield page


def find_controls(page: Page) -> list[tuple[str, str]]:
    """Return what each control on the page is, by its number: its kind, and its panel and looks."""
    marked = page.evaluate(MARK)
    assert all(of_panel for _kind, of_panel, _looks in marked), "there is a control that is in no panel"
    return [(kind, looks) for kind, _of_panel, looks in marked]


def keys_of_commands(page: Page) -> list[tuple[str, ...]]:
    """Return the keys of all commands of the running JupyterLab that must not hear a key of a panel."""
    return sorted({tuple(keys) for keys in page.evaluate(KEYS) if keys and all(keys)} - GO_ON)


def is_plain(keys: tuple[str, ...]) -> bool:
    """Whether it is typed without Control, Alt and their like."""
    return not any(word in MODIFIERS and word != "Shift" for key in keys for word in key.split())


def as_pressed(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return keys as they are named to be pressed."""
    words = (key.split() for key in keys)
    return tuple(
        "+".join(MODIFIERS.get(word, word.lower() if len(word) == 1 else word) for word in each) for each in words
    )


def press_all(page: Page, controls: Mapping[int, str], keys: Sequence[tuple[str, ...]]) -> None:
    """Press keys on controls: no command hears one, the cells and the panels stay."""
    before = page.evaluate(NOTEBOOK)
    page.evaluate(HEARD)
    heard = {}
    for at, kind in controls.items():
        assert page.evaluate(FOCUS, at), f"{kind} has gone"
        for each in keys:
            for key in as_pressed(each):
                page.keyboard.press(key)
        if told := page.evaluate(HEARD):
            heard[f"{at}: {kind}"] = told
    assert heard == {}
    assert page.evaluate(NOTEBOOK) == before
    expect(page.locator("section.labkit-panel")).to_have_count(PANELS)


def test_no_control_lets_a_letter_through(page: Page) -> None:
    plain = [keys for keys in keys_of_commands(page) if is_plain(keys)]
    assert {("R",), ("X",), ("D", "D"), ("0", "0"), ("Shift M",)} <= {*plain}
    found = dict(enumerate(find_controls(page)))
    chosen = found if THOROUGH else {at: each for each, at in {each: at for at, each in found.items()}.items()}
    assert {panel for _kind, panel in chosen.values()} == {panel for _kind, panel in found.values()}
    kinds = sorted(((at, kind) for at, (kind, _looks) in chosen.items()), key=lambda each: each[1] == "treeitem")
    press_all(page, dict(kinds), [keys for keys in plain if keys not in ACTS])  # trees last: they exchange others


def test_no_kind_of_control_lets_control_or_alt_through(page: Page) -> None:
    combined = [keys for keys in keys_of_commands(page) if not is_plain(keys)]
    assert {("Ctrl Z",), ("Ctrl Shift M",), ("Alt Enter",)} <= {*combined}
    last_of_each = {kind: at for at, (kind, _looks) in enumerate(find_controls(page))}
    assert last_of_each.keys() >= KINDS
    press_all(page, {at: kind for kind, at in last_of_each.items()}, combined)


def test_enter_presses_once(page: Page) -> None:
    opener = panel(page, "LabPanel").locator(".labkit-opener").last
    for key, is_open in (("Enter", "true"), ("Space", "false"), ("Enter", "true")):
        opener.focus()
        page.keyboard.press(key)
        expect(opener).to_have_attribute("aria-expanded", is_open, timeout=MINUTE)
    assert page.evaluate(HEARD) == []


def test_control_z_takes_back_what_was_typed_and_no_cell(page: Page) -> None:
    before, field = page.evaluate(NOTEBOOK), panel(page, "DiskPanel").locator("input[name=name]").first
    field.focus()
    page.keyboard.press("End")
    typed = field.input_value()
    page.keyboard.type("x")
    expect(field).to_have_value(f"{typed}x")
    page.keyboard.press("Control+z")
    expect(field).to_have_value(typed)
    assert page.evaluate(NOTEBOOK) == before


def test_control_s_and_shift_enter_go_on(page: Page) -> None:
    clones = panel(page, "ClonePanel")
    clones.locator("select[name=kind]").focus()
    save(page)
    clones.locator("[data-action=dismiss]").click()
    clones.locator("[name=count]").fill("1")
    ran = page.locator(".jp-CodeCell", has=clones).locator(".jp-InputPrompt")
    number = ran.inner_text()
    page.evaluate(HEARD)
    page.keyboard.press("Shift+Enter")
    expect(ran).not_to_have_text(number, timeout=MINUTE)
    assert page.evaluate(HEARD).count("notebook:run-cell-and-select-next") <= 1
    expect(clones.locator("form[data-action=clone]")).to_be_visible(timeout=MINUTE)
    assert clones.locator(".labkit-plan").count() == 0, "the form was sent, too"
