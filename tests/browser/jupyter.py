"""JupyterLab on a student's copies of the notebooks, and pages of the system's Chromium, for tests and measurements."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from labkit.course.copies import WorkingCopies
from tests.instance import ROOT
from tests.project.files import find_free_port

CHROMIUM = "/usr/bin/chromium"
SWITCHES = [
    "--no-sandbox",  # inside ./lab's user namespace there is none to be had
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = (1280, 800)
START_SECONDS, END_SECONDS = 120, 60
MINUTE = 60_000
"""Playwright counts milliseconds."""
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"

expect.set_options(timeout=MINUTE)  # a busy computer is no failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A JupyterLab that serves the notebooks.

    Attributes:
        address: up to the port. token: its key. root: the folder it serves; notebooks are in `notebooks`.
    """

    address: str
    token: str
    root: Path

    @property
    def copies(self) -> WorkingCopies:
        """The student's copies that it serves."""
        return WorkingCopies(ROOT / "notebooks", self.root / "notebooks")

    def url(self, notebook: str) -> str:
        """Return where a notebook is opened, and none that was open before."""
        return f"{self.address}/lab/tree/notebooks/{notebook}?token={self.token}&reset"

    def renew(self) -> None:
        """Let it be as if it had just started: no kernel, no terminal, nobody's settings, the notebooks as they were.

        No page may be open.
        """
        for kind, key in (("sessions", "id"), ("kernels", "id"), ("terminals", "name")):
            for each in self._ask("GET", kind):
                with suppress(urllib.error.HTTPError):  # it has ended by itself meanwhile
                    self._ask("DELETE", f"{kind}/{each[key]}")
        shutil.rmtree(self.root.parent / "config", ignore_errors=True)  # settings, and which tabs were open
        shutil.rmtree(self.root / "notebooks", ignore_errors=True)
        self.copies.update()

    def _ask(self, method: str, what: str) -> list[dict[str, str]]:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/api/{what}", method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=END_SECONDS) as answer:  # noqa: S310  our own address
            told: list[dict[str, str]] = json.loads(answer.read() or b"[]")
            return told


@contextmanager
def start_server(folder: Path, *more: str, programs: Path | None = None) -> Iterator[Server]:
    """Run a JupyterLab as `./lab up` starts it, on copies of the notebooks; all it writes is below `folder`.

    Args:
        more: further options of its command line. programs: the folder of the Python environment it runs in, and
            of no other; None: this one's.
    """
    root = folder / "root"
    root.mkdir()
    server = Server(address=f"http://127.0.0.1:{find_free_port()}", token=secrets.token_hex(8), root=root)
    server.copies.update()
    ours = Path(sys.executable).parent
    programs = programs or ours
    elsewhere = [place for place in os.environ["PATH"].split(":") if place != str(ours)]
    environment = {
        **os.environ,
        "PATH": ":".join([str(programs), *elsewhere]),
        **{f"JUPYTER_{name.upper()}_DIR": str(folder / name) for name in ("config", "data", "runtime")},
        "JUPYTER_CONFIG_PATH": str(ROOT / "deploy" / "jupyter"),
        "JUPYTER_TOKEN": server.token,
    }
    options = ["--LabApp.expose_app_in_browser=True"]  # tests choose the theme
    options += [f"--ServerApp.port={server.address.rpartition(':')[2]}", f"--ServerApp.root_dir={root}", *more]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [programs / "python", "-m", "jupyterlab", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_answers(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=END_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A page, and what its browser complained of."""

    page: Page
    complaints: list[str]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser; it ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES, timeout=2 * MINUTE)
        yield browser
        browser.close()


@contextmanager
def open_window(width: int = SIZE[0], height: int = SIZE[1]) -> Iterator[Window]:
    """Open a browser with an empty page."""
    with open_browser() as browser, open_page(browser, width, height) as window:
        yield window


@contextmanager
def open_page(browser: Browser, width: int = SIZE[0], height: int = SIZE[1]) -> Iterator[Window]:
    """Open an empty page that shares nothing with the browser's others; it and what was opened after it are closed."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    others = list(browser.contexts)
    try:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(MINUTE)
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield Window(page=page, complaints=complaints)
    finally:
        for context in browser.contexts:
            if context not in others:
                context.close()


def write_notebook(server: Server, name: str, cells: Sequence[str]) -> None:
    """Write a notebook of code cells where the server finds it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, server.root / "notebooks" / name)


def open_notebook(page: Page, server: Server, name: str) -> None:
    """Open a notebook, the side bar folded away, and wait until its kernel is idle."""
    page.goto(server.url(name), timeout=MINUTE)
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=MINUTE)
    page.keyboard.press("Control+b")
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)


def run_all(page: Page) -> None:
    """Run all cells, and wait until all have run; what their panels show must be waited for."""
    page.evaluate(RUN_ALL)


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.address}/api", timeout=5):  # noqa: S310  our own address
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError("JupyterLab did not answer.")
