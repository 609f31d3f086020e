"""All panels on one page: nothing grave to axe, and a path through them with the keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from tests.browser.conftest import Server, Window
from tests.browser.hands import confirm, focused, panel
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

OPEN = "from labkit import Lab\nfrom labkit.widgets import *\nlab = Lab.open()"
OF_LAB = ("LabPanel", "DiskPanel", "LineagePanel", "HostPanel")
OF_MACHINE = ("MachinePanel", "SnapshotPanel", "ClonePanel")
GRAVE = ("serious", "critical")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens: a machine that is quick to switch, with a snapshot."""
    with Lab.open() as opened:
        opened.create("web", image="sector", memory="16 MiB").snapshots.take("clean")
        yield opened
        opened.clean()


@pytest.fixture
def page(server: Server, window: Window, lab: Lab) -> Page:  # noqa: ARG001 — the notebook needs what is in it
    """A notebook with all panels, run, on a page so high that all are in sight."""
    cells = [*(f"{kind}(lab)" for kind in OF_LAB), *(f'{kind}(lab, "web")' for kind in OF_MACHINE)]
    window.page.set_viewport_size({"width": 1280, "height": 6000})
    write_notebook(server, "all.ipynb", [OPEN, *cells])
    open_notebook(window.page, server, "all.ipynb")
    run_all(window.page)
    expect(window.page.locator("section.labkit-panel")).to_have_count(len(cells), timeout=MINUTE)
    return window.page


def test_all_panels_by_keyboard_and_nothing_grave_to_axe(page: Page, window: Window, lab: Lab) -> None:
    expect(panel(page, "HostPanel")).to_contain_text("QEMU", timeout=MINUTE)
    found = Axe().run(page, context=".labkit").response["violations"]
    worst = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in GRAVE]
    assert worst == [], json.dumps(worst, indent=1)

    machine, clones, lineage = (panel(page, kind) for kind in ("MachinePanel", "ClonePanel", "LineagePanel"))
    press(page, machine.locator("button[data-action=start]"))
    for kind in ("MachinePanel", "LabPanel", "ClonePanel"):
        expect(panel(page, kind)).to_contain_text("running", timeout=MINUTE)
    press(page, machine.locator("button[data-action=kill]"))
    expect(machine.locator(".labkit-badge").first).to_contain_text("off", timeout=MINUTE)

    form = clones.locator("form[data-action=clone]")
    form.locator("[name=name]").fill("copy")
    form.locator("[name=kind]").select_option("linked")
    form.locator("[name=snapshot]").select_option("clean")
    form.locator("[name=name]").focus()
    page.keyboard.press("Enter")
    confirm(page, clones, plan_button(clones))
    assert lab.lineage.original("copy") == "web@clean"

    expect(lineage.locator("[role=treeitem]", has_text="copy")).to_have_count(1, timeout=MINUTE)
    lineage.locator("[role=treeitem][tabindex='0']").focus()
    for _time in range(8):
        page.keyboard.press("ArrowDown")
        if "copy" in focused(page, "textContent"):
            break
    delete = lineage.locator("button[data-action=delete]:not([aria-disabled=true])")
    expect(delete).to_have_count(1, timeout=MINUTE)
    press(page, delete)
    confirm(page, lineage, plan_button(lineage))
    assert list(lab.machines) == ["web"]

    create_look_and_delete(page, panel(page, "LabPanel"), lab)
    assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


def create_look_and_delete(page: Page, whole: Locator, lab: Lab) -> None:
    """Make a machine in the panel of the lab, find it in the lineage there, and delete it."""
    press(page, whole.locator("summary", has_text="Create a machine"))
    form = whole.locator("form[data-action=create]")
    form.locator("[name=image]").select_option("sector")
    form.locator("[name=memory]").fill("16 MiB")
    form.locator("[name=name]").fill("mail")
    form.locator("[name=name]").focus()
    page.keyboard.press("Enter")
    confirm(page, whole, plan_button(whole))
    press(page, whole.locator("summary", has_text="Who depends on whom"))
    whole.locator("[role=treeitem]", has_text="mail").click()
    expect(whole.locator("[role=treeitem][aria-selected=true]")).to_contain_text("mail", timeout=MINUTE)
    row = whole.locator("[data-words^='mail ']")
    press(page, row.locator("button[data-action=open]"))
    press(page, row.locator("button[data-action=delete]"))
    expect(whole.locator(".labkit-lost")).to_contain_text("the machine mail", timeout=MINUTE)
    confirm(page, whole, plan_button(whole))
    expect(row).to_have_count(0, timeout=MINUTE)
    assert list(lab.machines) == ["web"]


def press(page: Page, button: Locator) -> None:
    """Press a button by keyboard, once it can be pressed."""
    expect(button).not_to_have_attribute("aria-disabled", "true", timeout=MINUTE)
    button.focus()
    page.keyboard.press("Enter")


def plan_button(panel: Locator) -> str:
    """Return what the button says that carries the plan out."""
    button = panel.locator("button[data-action=confirm]")
    expect(button).to_be_visible(timeout=MINUTE)
    return button.inner_text()
