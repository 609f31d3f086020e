"""`python -m tests.browser.pictures [FOLDER]`: pictures of every panel in a real JupyterLab, on real machines.

Without a folder the pictures of the documentation are written again; with one, every panel in each combination of
theme, language and width, with large letters and in forced colours: to be looked at after a change. A picture with a
name of this computer in it is not written.

It runs on a hypervisor instance of its own, as the tests do, and leaves nothing else.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from labkit.language import LANGUAGES
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook
from tests.instance import ROOT, instance_of_a_program

INTO = ROOT / "docs" / "pictures"
WIDE, HALF, HEIGHT = 1280, 660, 9000
"""Pixels of the window; it is so high that all panels are on screen, and so up to date."""

COLORS = 64
"""How many a picture keeps: a third of its size."""

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}")

OPENING = "from labkit import Lab\nfrom labkit.widgets import *\nlab = Lab.open()"
THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"

PANELS = {
    "lab": "LabPanel(lab)",
    "machine": 'MachinePanel(lab, "web")',
    "console": 'Console(lab, "web")',
    "disks": 'DiskPanel(lab, "data")',
    "snapshots": 'SnapshotPanel(lab, "web")',
    "clones": 'ClonePanel(lab, "web")',
    "lineage": 'LineagePanel(lab, "web")',
    "host": "HostPanel(lab)",
    "doctor": "DoctorPanel(lab)",
    "class": "LabPanel(Lab.open('class'))",
}


SESSION = [
    "from labkit import Lab\nfrom labkit.widgets import MachinePanel\nlab = Lab.open()",
    'vm = lab.create("web", memory="128 MiB")\nvm.start().wait_ready()\nprint(vm.run("uname -a").stdout)',
    'vm.snapshots.take.plan("clean")',
    "MachinePanel(vm)",
]
"""The first cells of somebody who looks at labkit, as README.md shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How panels are looked at; `also` is what is out of the ordinary: nothing, "large" or "forced"."""

    theme: str = "light"
    language: str = "en"
    width: int = WIDE
    also: str = ""

    @property
    def words(self) -> str:
        """What the names of its pictures end in."""
        width = "wide" if self.width == WIDE else "half"
        return "-".join(filter(None, (self.language, self.theme, width, self.also)))


PLAIN = Look()
THEMES, WIDTHS = ("light", "dark"), (WIDE, HALF)
EVERY = [
    *(
        Look(theme=theme, language=language, width=width)
        for language in LANGUAGES
        for theme in THEMES
        for width in WIDTHS
    ),
    *(Look(theme=theme, width=width, also="large") for theme in THEMES for width in WIDTHS),
    *(Look(theme=theme, also="forced") for theme in THEMES),
]
OF_DOCS = {
    PLAIN: {name: f"panel-{name}" for name in PANELS if name != "class"},
    Look(theme="dark"): {"snapshots": "panel-snapshots-dark"},
    Look(language="es"): {"lab": "panel-lab-es"},
}


def main(words: Sequence[str]) -> int:
    """Make the pictures; returns the exit code."""
    into = Path(words[0]).absolute() if words else INTO
    into.mkdir(parents=True, exist_ok=True)
    every = {look: {name: f"{name}-{look.words}" for name in PANELS} for look in EVERY}
    with instance_of_a_program() as instance:
        _picture_session(into / "session.png")
        with _fill(), _show() as (page, folder, token):
            secrets = (str(instance.folder), folder, str(ROOT), token)
            for look, names in (every if words else OF_DOCS).items():
                put_on(page, look)
                for panel, name in names.items():
                    picture(find(page, panel), into / f"{name}.png", secrets)
    return 0


def _picture_session(file: Path) -> None:
    """Write the picture of a whole window: the first cells, run, with a panel."""
    with (
        Lab.open() as lab,
        tempfile.TemporaryDirectory() as folder,
        start_server(Path(folder)) as server,
        open_window(WIDE, 1010) as window,
    ):
        try:
            write_notebook(server, "first.ipynb", SESSION)
            open_notebook(window.page, server, "first.ipynb")
            run_all(window.page)
            expect(window.page.locator(".labkit-panel pre")).to_contain_text("This is web", timeout=MINUTE)
            expect(window.page.locator(".labkit-panel .labkit-line")).to_be_visible(timeout=MINUTE)
            window.page.locator(".jp-CodeCell").first.scroll_into_view_if_needed()
            write_picture(window.page, file)
        finally:
            lab.clean()


@contextmanager
def _fill() -> Iterator[None]:
    """Fill two labs: one with a machine at work, its tree, its clones, a disk that has grown; one with a class."""
    with Lab.open() as lab, Lab.open("class") as many:
        try:
            web = lab.create("web", memory="96 MiB")
            web.snapshots.take("fresh", description="as it came from the image")
            web.start().wait_ready()
            web.run("echo 'listen 80' > /etc/web.conf; sync")
            web.snapshots.take("configured", description="the server's settings are written")
            web.run("echo 'listen 8080' >> /etc/web.conf; sync")
            web.snapshots.take("port-8080")
            web.snapshots.restore("configured")
            web.snapshots.take("with-log")
            web.clone("seat-{:02}", kind="linked", snapshot="fresh", count=2)
            web.clone("copy")
            web.attach(lab.disks.create("data", capacity="64 MiB"))
            web.run("dd if=/dev/urandom of=/dev/vdb bs=1M count=22 conv=fsync")
            lab.disks.create("archive", capacity="24 MiB", format="vdi", allocation="fixed")
            for name, act in (("db", "pause"), ("mail", "save")):
                getattr(lab.create(name, image="sector", memory="16 MiB").start(), act)()
            for number in range(1, 13):
                machine = many.create(f"student-{number:02}", image="sector", memory="16 MiB")
                if number % 4 == 1:
                    machine.start()
            yield
        finally:
            many.clean()
            lab.clean()


@contextmanager
def _show() -> Iterator[tuple[Page, str, str]]:
    """Show all panels in a notebook; yields the page, the server's folder and its key."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_server(Path(folder)) as server,
        open_window(WIDE, HEIGHT) as window,
    ):
        page = window.page
        write_notebook(server, "panels.ipynb", [OPENING, *PANELS.values()])
        open_notebook(page, server, "panels.ipynb")
        run_all(page)
        expect(page.locator("section.labkit-panel")).to_have_count(len(PANELS), timeout=MINUTE)
        expect(find(page, "console")).to_contain_text("Joined", timeout=MINUTE)
        expect(find(page, "host")).to_contain_text("QEMU", timeout=MINUTE)
        expect(find(page, "doctor").locator("strong").first).to_be_visible(timeout=MINUTE)
        expect(find(page, "console")).to_contain_text("root@web", timeout=MINUTE)  # it has been told its size
        page.locator("labkit-console textarea").focus()
        for line, answer in (("cat /etc/web.conf", "listen 80"), ("uname -sr", "Linux 6")):
            page.keyboard.type(line)
            page.keyboard.press("Enter")
            expect(find(page, "console")).to_contain_text(answer, timeout=MINUTE)
        yield page, folder, server.token


def find(page: Page, name: str, panels: Iterable[str] = PANELS) -> Locator:
    """Return a panel; `panels` are the names of all on the page, in order."""
    return page.locator("section.labkit-panel").nth([*panels].index(name))


def put_on(page: Page, look: Look) -> None:
    """Let the page look so, and wait until it does."""
    page.set_viewport_size({"width": look.width, "height": HEIGHT})
    page.evaluate(THEME, f"JupyterLab {look.theme.title()}")
    is_light = "true" if look.theme == "light" else "false"
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light, timeout=MINUTE)
    page.emulate_media(forced_colors="active" if look.also == "forced" else "none")
    large = page.locator("[data-large]").first
    if (large.get_attribute("aria-pressed") == "true") is not (look.also == "large"):
        large.click()
    page.locator(f"button[data-action=language][data-subject={look.language}]").first.click()
    panels = page.locator("section.labkit-panel")
    others = page.locator(f"section.labkit-panel:not([lang={look.language}])")
    expect(others).to_have_count(0, timeout=MINUTE)
    page.mouse.move(0, 0)
    panels.first.evaluate("panel => panel.focus()")
    page.wait_for_timeout(500)  # the console takes its new size


def picture(panel: Locator, file: Path, secrets: Sequence[str]) -> None:
    """Write a picture of a panel.

    Raises:
        ValueError: it shows one of the secrets, or an id.
    """
    shown = panel.inner_text()
    if told := [*(secret for secret in secrets if secret in shown), *ID.findall(shown)]:
        raise ValueError(f"{file.name} would show {told}.")
    write_picture(panel, file)


def write_picture(panel: Locator | Page, file: Path) -> None:
    """Write a picture of a panel or of a whole page, small, whatever it shows."""
    with Image.open(io.BytesIO(panel.screenshot())) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
