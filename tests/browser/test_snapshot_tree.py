"""The tree of sixty snapshots with the keyboard alone, beside a panel that changes; what axe has to say of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from labkit.machine import Machine
from labkit.model.tree_layout import HERE, arrange, tree_graph
from tests.browser.conftest import Server, Window
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

COUNT = 60
CODE = "from labkit import Lab\nfrom labkit.widgets import MachinePanel, SnapshotPanel\nlab = Lab.open()"
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that is off, with sixty snapshots on several branches."""
    with Lab.open() as lab:
        machine = lab.create("web")
        for number in range(COUNT):
            machine.snapshots.take(f"s{number}")
            if number % 9 == 8:
                machine.snapshots.restore(f"s{number // 3}")  # no disk is as deep as some libvirts forbid
        yield machine
        lab.clean()


@pytest.fixture
def page(server: Server, window: Window, machine: Machine) -> Page:  # noqa: ARG001 — the notebook shows it
    """A notebook with both panels, run."""
    write_notebook(server, "tree.ipynb", [CODE, 'SnapshotPanel(lab, "web")', 'MachinePanel(lab, "web")'])
    open_notebook(window.page, server, "tree.ipynb")
    run_all(window.page)
    expect(window.page.locator("section.labkit-panel")).to_have_count(2, timeout=MINUTE)
    return window.page


def test_sixty_snapshots_by_keyboard_and_nothing_grave_to_axe(page: Page, window: Window, machine: Machine) -> None:
    panel = page.locator("section.labkit-panel").first
    tree = panel.get_by_role("tree", name="Snapshots of web")
    expect(tree.get_by_role("treeitem")).to_have_count(COUNT + 1)
    current = machine.snapshots.current
    assert current is not None
    expect_chosen(panel, current)

    panel.locator("form[data-action=take] input").focus()
    page.keyboard.press("Shift+Tab")
    expect_focus(page, current)  # the whole tree is one stop
    go(page, panel, "Home", "s0")
    go(page, panel, "ArrowRight", machine.snapshots.tree.children("s0")[0])
    go(page, panel, "ArrowLeft", "s0")
    go(page, panel, "ArrowUp", "s0")
    go(page, panel, "ArrowDown", "s1")
    go(page, panel, "End", list(arrange(tree_graph(machine.snapshots.tree)))[-1])
    go(page, panel, "y", HERE)  # the next that begins so
    go(page, panel, "Home", "s0")
    for _time in range(30):
        page.keyboard.press("ArrowDown")
    chosen = item(panel, focused(page))
    expect(chosen).to_have_attribute("aria-selected", "true")
    expect(chosen).to_be_in_viewport()

    before = focused(page)
    machine.snapshots.take("fresh")  # the kernel of the notebook hears of it as an event
    expect(tree.get_by_role("treeitem")).to_have_count(COUNT + 2)
    expect_focus(page, before)
    expect_chosen(panel, before)
    machine.snapshots.delete(before)  # what had the focus goes: the next key goes on in the tree
    expect(tree.get_by_role("treeitem")).to_have_count(COUNT + 1)
    expect_chosen(panel, "fresh")
    expect_focus(page, "fresh")

    found = Axe().run(page, context=".labkit")
    assert [each["id"] for each in found.response["violations"] if each["impact"] in GRAVE] == [], (
        found.generate_report()
    )
    assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


def test_rows_are_found_by_what_is_typed_and_chosen_from_there(page: Page) -> None:
    panel = page.locator("section.labkit-panel").first
    rows, field = panel.get_by_role("treeitem"), panel.get_by_role("searchbox")
    field.fill("s5")
    expect(rows).to_have_count(11)  # s5, s50 … s59
    expect(panel.locator("[data-found]")).to_have_text(f"11 of {COUNT + 1}")
    expect(panel.locator(".labkit-branches > svg")).to_be_hidden()
    field.fill("S5 off 8")
    expect(rows).to_have_count(1)
    page.keyboard.press("Tab")
    expect_focus(page, "s58")
    page.keyboard.press("Enter")
    expect_chosen(panel, "s58")
    expect(rows).to_have_count(1)  # also when the kernel has laid the panel out again
    field.fill("nothing has such words")
    expect(rows).to_have_count(0)
    field.fill("")
    expect(rows).to_have_count(COUNT + 1)
    expect(panel.locator(".labkit-branches > svg")).to_be_visible()
    expect(panel.locator("[data-found]")).to_be_empty()


def item(panel: Locator, subject: str) -> Locator:
    """Return a row of the tree."""
    return panel.locator(f"[role=treeitem][data-subject='{subject}']")


def go(page: Page, panel: Locator, key: str, subject: str) -> None:
    """Press a key; the row it leads to has the focus, and is shown."""
    page.keyboard.press(key)
    expect_focus(page, subject)
    expect_chosen(panel, subject)


def expect_chosen(panel: Locator, subject: str) -> None:
    """Wait until this row alone is the chosen one, with its details beside it."""
    expect(item(panel, subject)).to_have_attribute("aria-selected", "true")
    expect(panel.locator("[aria-selected=true]")).to_have_count(1)
    expect(panel.locator("[role=heading][aria-level='4']").first).to_have_text(subject or "You are here")


def expect_focus(page: Page, subject: str) -> None:
    """Wait until this row has the focus; the Tab key stops at it alone."""
    expect(page.locator("[role=treeitem]:focus")).to_have_attribute("data-subject", subject)
    expect(page.locator("[role=treeitem][tabindex='0']")).to_have_attribute("data-subject", subject)


def focused(page: Page) -> str:
    """Return the row that has the focus."""
    return str(page.evaluate("document.activeElement.dataset.subject"))
