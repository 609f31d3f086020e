"""A key typed into the console in JupyterLab until it is on the page, while a cell keeps the kernel busy."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from labkit import Lab
from tests.bench.table import Row
from tests.browser.jupyter import CHROMIUM, SWITCHES, start_server
from tests.browser.test_console import BUSY, open_notebook, write_notebook

KEYS = 120
PAUSE = 100  # ms between two keys
LIMIT = 50  # ms

WATCH = """() => {
  const rows = document.querySelector("labkit-console .xterm-rows");
  let began = 0, shown = rows.textContent;
  window.echoes = [];
  document.querySelector("labkit-console textarea").addEventListener("keydown", () => {
    began = performance.now();
    shown = rows.textContent;
  }, true);
  new MutationObserver(() => {
    if (!began || rows.textContent === shown) return;
    window.echoes.push(performance.now() - began);
    began = 0;
  }).observe(rows, { subtree: true, childList: true, characterData: true });
}"""


def bench_console() -> list[Row]:
    """From the key to the page: browser, Jupyter's server, the guest's echo, and back."""
    with Lab.open() as lab, tempfile.TemporaryDirectory(prefix="lk-") as name, sync_playwright() as playwright:
        lab.create("web", if_exists="replace").start().wait_ready()
        with start_server(Path(name)) as server:
            write_notebook(server, BUSY.replace("20", "60"))
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
            page = browser.new_page()
            open_notebook(page, server)
            page.locator(".jp-CodeCell .cm-content").last.click()
            page.keyboard.press("Control+Enter")
            page.locator("labkit-console textarea").focus()
            page.evaluate(WATCH)
            page.keyboard.type("x" * KEYS, delay=PAUSE)
            page.wait_for_function(f"window.echoes.length >= {KEYS - 10}")
            busy = page.locator(".jp-CodeCell .jp-InputPrompt").last.inner_text()
            echoes = tuple(float(echo) for echo in page.evaluate("window.echoes"))
            browser.close()
        lab.clean()
    assert busy == "[*]:", "the cell had ended before"
    slow = statistics.quantiles(echoes, n=20)[-1]
    return [
        Row(what=f"console: echo of {len(echoes)} keys, a cell runs", runs=echoes, unit="ms"),
        Row(what="console: 95 of 100 keys within", runs=(slow,), unit="ms", limit=LIMIT),
    ]
