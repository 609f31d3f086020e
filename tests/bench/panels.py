"""Panels of a lab of 50 machines in a real browser: how soon an event is on the page, and what goes over the wire."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from labkit import Lab
from labkit.machine import Machine
from tests.bench.table import Row
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook

COUNT, RUNNING = 50, 10
TALL = 9000
"""Pixels: all panels are on screen, and each of them follows the lab."""

WATCHED_SECONDS = 15
MESSAGE_LIMIT, BYTE_LIMIT = 1000, 1_000_000
"""A second: from there on Jupyter stops what a kernel says (iopub_msg_rate_limit, iopub_data_rate_limit)."""

PANELS = (
    "LabPanel(lab)",
    'MachinePanel(lab, "m00")',
    'SnapshotPanel(lab, "m00")',
    'ClonePanel(lab, "m00")',
    "DiskPanel(lab)",
    "LineagePanel(lab)",
    "HostPanel(lab)",
)

WATCH = """() => {
  window.seen = [];
  for (const [at, panel] of document.querySelectorAll("section.labkit-panel").entries()) {
    const row = panel.querySelector("[data-words^='m00 ']") ?? panel.querySelector(".labkit-head");
    let word = row.querySelector(".labkit-badge")?.textContent;
    new MutationObserver(() => {
      const now = row.querySelector(".labkit-badge")?.textContent;
      if (now !== word) window.seen.push([at, (word = now), Date.now() / 1000]);
    }).observe(row, {subtree: true, childList: true, characterData: true});
  }
}"""


def bench_panels(rounds: int = 20) -> list[Row]:
    """Pause and resume by virsh; every panel open. One that follows is as new as the slowest."""
    wire = Wire()
    with _page(wire) as (page, machine):
        steady = wire.count(lambda: page.wait_for_timeout(WATCHED_SECONDS * 1000))
        page.evaluate(WATCH)
        delays: dict[int, list[float]] = {0: [], 1: []}

        def switch() -> None:
            for round_ in range(rounds):
                for at, delay in _delays(page, machine, pause=round_ % 2 == 0).items():
                    delays[at].append(delay)

        busy = wire.count(switch)
    rows = []
    for at, name in ((0, "LabPanel"), (1, "MachinePanel")):
        runs = sorted(delays[at])
        rows.append(Row(what=f"event → page, {name} of {COUNT} machines", runs=tuple(runs)))
        rows.append(Row(what="  95th percentile", runs=(runs[int(0.95 * (len(runs) - 1) + 0.5)],), limit=0.1))
    for what, (messages, size) in (("nothing happens", steady), (f"{rounds} events", busy)):
        rows.append(
            Row(
                what=f"messages a second, {what}: of the limit",
                runs=(100 * messages / MESSAGE_LIMIT,),
                unit="%",
                limit=5,
            )
        )
        rows.append(
            Row(what=f"bytes a second, {what}: of the limit", runs=(100 * size / BYTE_LIMIT,), unit="%", limit=5)
        )
    return rows


class Wire:
    """What the kernel says to the page: the messages of its iopub channel, with their sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def listen(self, page: Page) -> None:
        """Count from now on; before the page is opened."""
        page.on("websocket", lambda socket: socket.on("framereceived", self._take))

    def count(self, act: Callable[[], object]) -> tuple[float, float]:
        """Return messages and bytes a second while something is done."""
        self.sizes.clear()
        began = time.monotonic()
        act()
        seconds = time.monotonic() - began
        return len(self.sizes) / seconds, sum(self.sizes) / seconds

    def _take(self, frame: str | bytes) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b"iopub" in data[:200] or b'"channel": "iopub"' in data[-200:]:
            self.sizes.append(len(data))


@contextmanager
def _page(wire: Wire) -> Iterator[tuple[Page, Machine]]:
    with tempfile.TemporaryDirectory() as folder, Lab.open("bench") as lab:
        for number in range(COUNT):
            lab.create(f"m{number:02}", image="sector", memory="16 MiB", if_exists="replace")
        for number in range(RUNNING):
            lab.machines[f"m{number:02}"].start()
        try:
            with start_server(Path(folder)) as server, open_window(height=TALL) as window:
                wire.listen(window.page)
                cells = ("from labkit import Lab\nfrom labkit.widgets import *\nlab = Lab.open('bench')", *PANELS)
                write_notebook(server, "bench.ipynb", cells)
                open_notebook(window.page, server, "bench.ipynb")
                run_all(window.page)
                expect(window.page.locator("section.labkit-panel")).to_have_count(len(PANELS), timeout=MINUTE)
                expect(window.page.locator(".labkit-meter").first).to_be_visible(timeout=MINUTE)
                yield window.page, lab.machines["m00"]
        finally:
            lab.clean()


def _delays(page: Page, machine: Machine, *, pause: bool) -> dict[int, float]:
    """Switch by virsh; return how long after the hypervisor's event each panel showed it."""
    told: list[float] = []
    heard = threading.Event()

    def hear(_event: object) -> None:
        told.append(time.time())
        heard.set()

    word = "paused" if pause else "running"
    page.evaluate("window.seen = []")
    stop = machine.lab.subscribe(hear)
    try:
        verb = "suspend" if pause else "resume"
        uri = ["virsh", "-c", "qemu:///session", "-q", verb, machine.facts.spec.domain_name]
        subprocess.run(uri, check=True, capture_output=True, timeout=30)
        assert heard.wait(30)
    finally:
        stop()
    both = f"[0, 1].every((at) => window.seen.some((each) => each[0] === at && each[1].includes('{word}')))"
    page.wait_for_function(both, polling=50, timeout=MINUTE)
    seen = page.evaluate("window.seen")
    page.wait_for_timeout(300)
    return {at: min(when for where, _word, when in seen if where == at) - told[0] for at in (0, 1)}
