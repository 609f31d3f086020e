"""`python -m tests.browser.film [FILE]`: the moving picture of README.md: the tree while a restore is carried out.

A machine that runs goes back to an earlier snapshot, in a real JupyterLab: the choice, the plan with its commands, the
act, the tree after it. It runs on a hypervisor instance of its own, as the tests do, and leaves nothing else.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Locator, expect

from labkit import Lab
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook
from tests.browser.pictures import ID, INTO, OPENING
from tests.instance import ROOT, Instance, find_guest_images

WIDE, HIGH = 860, 1000
"""Pixels of the window."""

COLORS = 48
"""How many the picture keeps."""

TALLEST = 860
"""Pixels of it; of a longer plan the beginning is seen."""

LOOKS, SHORTEST, LONGEST = 0.1, 150, 2200
"""Seconds between two looks; milliseconds that a picture stays at least and at most."""


def main(words: Sequence[str]) -> int:
    """Make the picture; returns the exit code."""
    file = Path(words[0]).absolute() if words else INTO / "restore.gif"
    instance = Instance(find_guest_images())
    try:
        with (
            instance.in_force(),
            _fill(),
            tempfile.TemporaryDirectory() as folder,
            start_server(Path(folder)) as server,
            open_window(WIDE, HIGH) as window,
        ):
            write_notebook(server, "film.ipynb", [OPENING, 'SnapshotPanel(lab, "web")'])
            open_notebook(window.page, server, "film.ipynb")
            run_all(window.page)
            panel = window.page.locator("section.labkit-panel")
            expect(panel).to_have_count(1, timeout=MINUTE)
            _write(_film(panel, (str(instance.folder), folder, str(ROOT), server.token)), file)
    finally:
        instance.end()
    return 0


@contextmanager
def _fill() -> Iterator[None]:
    """Fill a lab: a machine at work, and a tree of two branches."""
    with Lab.open() as lab:
        try:
            web = lab.create("web", memory="96 MiB")
            web.snapshots.take("fresh", description="as it came from the image")
            web.start().wait_ready()
            web.snapshots.take("configured", description="the server's settings are written")
            web.snapshots.take("port-8080")
            web.snapshots.restore("configured")
            web.snapshots.take("with-log")
            yield
        finally:
            lab.clean()


def _film(panel: Locator, secrets: Sequence[str]) -> list[tuple[Image.Image, int]]:
    """Return the pictures of a restore, in order, each with the milliseconds that it stays.

    Raises:
        ValueError: one shows one of the secrets, or an id.
    """
    taken: list[tuple[float, Image.Image]] = []

    def look() -> None:
        shown = panel.inner_text()
        if told := [*(secret for secret in secrets if secret in shown), *ID.findall(shown)]:
            raise ValueError(f"The picture would show {told}.")
        now = Image.open(io.BytesIO(panel.screenshot(animations="allow"))).convert("RGB")
        last = taken[-1][1] if taken else None
        if last is None or last.size != now.size or ImageChops.difference(last, now).getbbox():
            taken.append((time.monotonic(), now))

    def stay(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            look()
            time.sleep(LOOKS)

    panel.page.mouse.move(0, 0)
    panel.get_by_role("treeitem", name=re.compile("port-8080")).click()
    stay(1.5)
    form = panel.locator("form[data-action=restore]")
    form.get_by_role("button", name="Restore…").click()
    expect(panel.locator("[data-action=confirm]")).to_be_visible(timeout=MINUTE)
    stay(2.5)
    panel.locator("[data-action=confirm]").click()
    while not panel.get_by_text("What really happened").is_visible():
        look()
    stay(3)
    ends = [moment for moment, _picture in taken[1:]] + [time.monotonic()]
    return [
        (picture, round(min(LONGEST, max(SHORTEST, 1000 * (end - begin)))))
        for (begin, picture), end in zip(taken, ends, strict=True)
    ]


def _write(film: Sequence[tuple[Image.Image, int]], file: Path) -> None:
    """Write pictures of any height as one that moves, with few colours and without end."""
    high = min(TALLEST, max(picture.height for picture, _stays in film))
    pages = []
    for picture, _stays in film:
        page = Image.new("RGB", (picture.width, high), "white")
        page.paste(picture)
        pages.append(page)
    palette = pages[-1].quantize(COLORS)
    first, *others = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    stays = [stays for _picture, stays in film]
    first.save(file, save_all=True, append_images=others, duration=stays, loop=0, optimize=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
