"""A student's copies in the browser: no answer before its question, a half-run copy lives on, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from labkit.course.copies import WorkingCopies
from labkit.course.progress import CourseProgress
from tests.browser.conftest import Server, Window
from tests.browser.hands import panel, save
from tests.browser.jupyter import MINUTE, open_notebook, write_notebook
from tests.notebooks.execute import find_notebooks, read_notebook

OPENED = find_notebooks("0") if os.environ.get("LABKIT_TESTS") == "thorough" else find_notebooks("00", "04")
"""The others differ in nothing that a browser sees; their files are looked at in `tests/notebooks`."""

ASKED = ("floors", "boot-time")
RAN = "[...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.outputs?.length ?? 0)"
IDS = "[...window.jupyterapp.shell.currentWidget.content.widgets].map(cell => cell.model.id)"
OPEN = """[...window.jupyterapp.shell.currentWidget.content.widgets]
  .filter(cell => cell.node.querySelector("details[open]")).map(cell => cell.model.id)"""
RUN = """async ids => {
  const content = window.jupyterapp.shell.currentWidget.content;
  for (const id of ids) {
    content.deselectAll();
    content.activeCellIndex = content.widgets.findIndex(cell => cell.model.id === id);
    await window.jupyterapp.commands.execute("notebook:run-cell");
  }
}"""
ACTIVATE = """id => {
  const content = window.jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = content.widgets.findIndex(cell => cell.model.id === id);
  return content.scrollToItem(content.activeCellIndex, "center");
}"""
RESTART = "void window.jupyterapp.commands.execute('notebook:restart-kernel')"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebooks open; nobody has predicted anything in it."""
    with Lab.open() as opened:
        CourseProgress().forget(*ASKED)
        yield opened
        opened.clean()


@pytest.mark.parametrize("name", [f"{path.parent.name}/{path.name}" for path in OPENED])
def test_fresh_copy_shows_questions_and_no_answer(server: Server, window: Window, name: str) -> None:
    page = window.page
    open_notebook(page, server, name)
    ids = page.evaluate(IDS)
    assert ids == [cell.id for cell in read_notebook(server.root / "notebooks" / name).cells]
    assert set(page.evaluate(RAN)) == {0}
    assert page.evaluate(OPEN) == []
    question = next(each for each in ids if each.endswith("-question"))
    expect(scroll_to(page, question).locator("li", has_text="I don't know")).to_be_visible()
    expect(page.get_by_text("The machine says")).to_have_count(0)


def test_half_run_copy_is_alive_after_a_reload_and_after_a_restart(server: Server, window: Window, lab: Lab) -> None:
    page = window.page
    open_notebook(page, server, "en/00-your-lab.ipynb")
    ran = ["setup", "floors-predict", "floors-see", "floors-reveal", "create-bind", "create-do", "create-see"]
    page.evaluate(RUN, ran)
    expect(panel(page, "MachinePanel").locator(".labkit-badge").first).to_contain_text("off")
    scroll_to(page, "floors-reveal")
    expect(panel(page, "Revealed")).to_contain_text("You have not predicted anything")
    save(page)

    page.reload()
    expect(page.get_by_text("| Idle")).to_be_visible()
    scroll_to(page, "floors-predict")
    option = panel(page, "Prediction").get_by_role("button", name="four: there is one more")
    option.click()
    expect(option).to_have_attribute("aria-pressed", "true")
    expect(panel(page, "Revealed")).to_contain_text("You chose afterwards: four")
    scroll_to(page, "create-see")
    machine = panel(page, "MachinePanel")
    machine.locator("button[data-action=start]").click()
    expect(machine.locator(".labkit-badge").first).to_contain_text("running")
    expect(page.get_by_text("picture of the past").locator("visible=true")).to_have_count(0)
    for cell, is_open in (("floors-explain", True), ("create-explain", True), ("boot-explain", False)):
        fold = scroll_to(page, cell).locator("details")
        expect(fold).to_have_attribute("open", "") if is_open else expect(fold).not_to_have_attribute("open", "")
    scroll_to(page, "create-see")

    lab.machines["first"].kill()
    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(machine.get_by_role("alert")).to_contain_text("this panel is a picture of the past")
    machine.get_by_role("button", name="Run them").click()
    expect(machine.get_by_role("alert")).to_have_count(0)
    expect(machine.locator(".labkit-badge").first).to_contain_text("off")
    assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


def test_page_of_another_kernel_offers_to_run_what_its_panel_needs(server: Server, window: Window, lab: Lab) -> None:
    page = window.page
    open_notebook(page, server, "en/00-your-lab.ipynb")
    page.evaluate(RUN, ["setup", "create-bind", "create-do", "create-see"])
    expect(panel(page, "MachinePanel").locator(".labkit-badge").first).to_contain_text("off")
    save(page)
    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(panel(page, "MachinePanel").get_by_role("alert")).to_contain_text("picture of the past")
    save(page)
    page.reload()
    expect(page.get_by_text("| Idle")).to_be_visible()
    note = scroll_to(page, "create-see").get_by_role("note")
    expect(note).to_contain_text("This panel is a picture of the past, as it was saved.")
    note.get_by_role("button", name="Run them").click()
    expect(panel(page, "MachinePanel").locator(".labkit-badge").first).to_contain_text("off")
    assert "first" in lab.machines


def test_update_beside_local_changes_loses_nothing(server: Server, window: Window, lab: Lab, tmp_path: Path) -> None:  # noqa: ARG001
    page, course, work = window.page, tmp_path / "course", server.root / "notebooks" / "mine"
    original = course / "en" / "01-host-and-guest.ipynb"
    original.parent.mkdir(parents=True)
    publish(original, "2 + 2")
    copies = WorkingCopies(course, work)
    copies.update()
    open_notebook(page, server, "mine/en/01-host-and-guest.ipynb")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.type("my_own_work = ")
    page.keyboard.press("Control+Enter")
    save(page)

    publish(original, "3 + 3")
    copies.update()
    imports = "from pathlib import Path\nfrom labkit.course import CoursePanel"
    imports += "\nfrom labkit.course.copies import WorkingCopies"
    shows = f"CoursePanel(copies=WorkingCopies(Path({str(course)!r}), Path({str(work)!r})))"
    write_notebook(server, "mine/en/index.ipynb", [imports, shows])
    open_notebook(page, server, "mine/en/index.ipynb")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    shown = panel(page, "CoursePanel")
    shown.screenshot(path=Path(os.environ.get("LABKIT_PICTURES", tmp_path)) / "panel-course.png")
    expect(shown).to_contain_text("There is a newer version of this notebook")
    shown.get_by_role("button", name="Take the new one").click()
    expect(shown).to_contain_text(
        "en/01-host-and-guest is the new version; yours is en/earlier/01-host-and-guest.ipynb"
    )
    assert "my_own_work" in (work / "en" / "earlier" / "01-host-and-guest.ipynb").read_text()
    assert "3 + 3" in copies.path("en/01-host-and-guest").read_text()
    shown.get_by_role("button", name="Begin: ").click()
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").first).to_contain_text(
        "3 + 3", timeout=MINUTE
    )
    begun = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")
    expect(begun).to_contain_text("Host")  # its first cells are needed by all that follows


def publish(path: Path, source: str) -> None:
    """Let the course have this original, with somebody's output."""
    cell = nbformat.v4.new_code_cell(source, id="sum", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", text="theirs")]
    ask = nbformat.v4.new_code_cell('predict("floors")', id="ask")
    heads = [nbformat.v4.new_markdown_cell(text, id=f"head-{at}") for at, text in enumerate(("# Host", "## 1 · Sum"))]
    notebook = nbformat.v4.new_notebook(cells=[heads[0], heads[1], cell, ask])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, path)


def scroll_to(page: Page, cell: str) -> Locator:
    """Bring a cell into sight, and return it: only cells that are near are on the page."""
    page.evaluate(ACTIVATE, cell)
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")
