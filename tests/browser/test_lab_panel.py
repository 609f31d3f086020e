"""The panels of a lab agree with each other and with the lab: whoever acts, in a second tab, after a reload."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import pytest
from playwright.sync_api import Page, expect

from labkit import Lab
from labkit.model.event import Event
from tests.browser.conftest import Server, Window
from tests.browser.hands import save
from tests.browser.jupyter import MINUTE, open_notebook, run_all, write_notebook

SHOWN_WITHIN = 0.5
"""Seconds after the hypervisor's event until every panel shows it, when nothing else keeps the computer busy."""

OPEN = "from labkit import Lab\nfrom labkit.widgets import *\nlab = Lab.open()"
PANELS = ("LabPanel(lab)", 'MachinePanel(lab, "web")')
WATCH = """(word) => {
  window.shown = {};
  for (const [at, panel] of [...document.querySelectorAll("section.labkit-panel")].slice(0, 2).entries()) {
    const look = () => {
      if (panel.querySelector(".labkit-badge").textContent.includes(word)) window.shown[at] ??= Date.now() / 1000;
    };
    new MutationObserver(look).observe(panel, {subtree: true, childList: true, characterData: true});
  }
}"""


@pytest.fixture
def page(server: Server, window: Window, quick_lab: Lab) -> Page:
    """A notebook with the panels of the lab and of its machine, run and saved."""
    if quick_lab.machines["web"].facts.is_active:
        quick_lab.machines["web"].kill()
    write_notebook(server, "lab.ipynb", [OPEN, *PANELS])
    open_notebook(window.page, server, "lab.ipynb")
    run_and_wait(window.page)
    save(window.page)
    return window.page


def run_and_wait(page: Page, count: int = len(PANELS)) -> None:
    """Run all cells and wait until every panel is there and follows its kernel."""
    run_all(page)
    panels = page.locator("section.labkit-panel")
    expect(panels).to_have_count(count, timeout=MINUTE)
    for at in range(len(PANELS)):
        expect(panels.nth(at)).to_contain_text("off", timeout=MINUTE)


def seconds_until_shown(page: Page, lab: Lab, act: Callable[[], object], word: str) -> float:
    """Act; return how long after the hypervisor's event the last panel of the page shows the word."""
    told: SimpleQueue[float] = SimpleQueue()

    def hear(event: Event) -> None:
        if event.stand is not None and event.stand[0] == word:  # not the last event of the act before
            told.put(time.time())

    unsubscribe = lab.subscribe(hear)
    page.evaluate(WATCH, word)
    try:
        act()
        page.wait_for_function("Object.keys(window.shown).length === 2", polling=50, timeout=MINUTE)
        return float(max(page.evaluate("Object.values(window.shown)"))) - told.get(timeout=60)
    finally:
        unsubscribe()


@pytest.mark.alone
def test_act_of_another_kernel_and_of_virsh_is_in_both_panels_at_once(
    page: Page, quick_lab: Lab, labkit_process: Callable[[str], subprocess.Popen[str]]
) -> None:
    starts = "from labkit import Lab; Lab.open().machines['web'].start()"
    start = seconds_until_shown(page, quick_lab, lambda: labkit_process(starts).communicate(timeout=120), "running")
    name = quick_lab.machines["web"].facts.spec.domain_name
    verbs = {"suspend": "paused", "resume": "running", "destroy": "off"}
    took = {verb: seconds_until_shown(page, quick_lab, partial(virsh, verb, name), verbs[verb]) for verb in verbs}
    took["start"] = start
    assert statistics.median(took.values()) < SHOWN_WITHIN, took


def virsh(*words: str) -> None:
    """Act as somebody would in a terminal."""
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", *words], check=True, capture_output=True, timeout=120)


def test_second_tab_and_reloaded_page_are_live(page: Page, server: Server, quick_lab: Lab) -> None:
    assert page.context.browser is not None
    second = page.context.browser.new_context().new_page()
    open_notebook(second, server, "lab.ipynb")
    page.reload()
    for tab in (page, second):
        expect(tab.locator("section.labkit-panel")).to_have_count(len(PANELS), timeout=MINUTE)
    quick_lab.machines["web"].start()
    for tab in (page, second):
        for at in range(len(PANELS)):
            expect(tab.locator("section.labkit-panel").nth(at)).to_contain_text("running")
    second.locator("button[data-action=kill]").last.click()
    for tab in (page, second):
        for at in range(len(PANELS)):
            expect(tab.locator("section.labkit-panel").nth(at).locator(".labkit-badge").first).to_contain_text("off")
