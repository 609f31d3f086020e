"""`python -m tests.browser.moments FOLDER`: pictures of what panels show only while something happens.

A refusal and a loss in each panel, an act under way, while it is cancelled and after it, the box of an act that a cell
waits for, a kernel that has left; and what is large: fifty machines, sixty snapshots. To be looked at after a change.

It runs on a hypervisor instance of its own, as the tests do, and leaves nothing else.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import psutil
from playwright.sync_api import Locator, Page, expect

from labkit import Lab
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook
from tests.browser.pictures import HALF, HEIGHT, OPENING, PLAIN, WIDE, Look, find, put_on, write_picture
from tests.instance import Instance, find_guest_images

PANELS = {
    "lab": "LabPanel(lab)",
    "machine": 'MachinePanel(lab, "web")',
    "disks": 'DiskPanel(lab, "big")',
    "snapshots": 'SnapshotPanel(lab, "web")',
    "clones": 'ClonePanel(lab, "web")',
    "lineage": 'LineagePanel(lab, "web@fresh")',
    "console": 'Console(lab, "ended")',
    "class": 'LabPanel(Lab.open("class"))',
    "tree": 'SnapshotPanel(lab, "grown")',
    "grown": 'MachinePanel(lab, "grown")',
    "empty": 'LabPanel(Lab.open("empty"))',
    "no-disks": 'DiskPanel(Lab.open("empty"))',
    "no-snapshots": 'SnapshotPanel(lab, "ended")',
    "no-clones": 'ClonePanel(lab, "ended")',
    "no-lineage": 'LineagePanel(Lab.open("empty"))',
}
STILL = ("console", "class", "tree", "empty", "no-disks", "no-snapshots", "no-clones", "no-lineage")
"""Panels that are looked at as they are."""

LOOKS = (PLAIN, Look(theme="dark", language="es"), Look(language="es", width=HALF), Look(theme="dark", also="forced"))

REFUSED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "lab": ("create", {"name": "web"}),
    "machine": ("configure", {"memory": "9 TiB"}),
    "disks": ("create", {"name": "big"}),
    "snapshots": ("take", {"name": "fresh"}),
    "clones": ("clone", {"name": "ended"}),
}
"""What is sent in each panel, and refused there."""

WRONG: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "machine": ("configure", {"vcpus": "many"}),
    "disks": ("resize", {"capacity": "large"}),
    "clones": ("clone", {"count": "x"}),
}
"""What cannot be understood."""

LOST = {"grown": "delete", "disks": "delete", "snapshots": "delete-branch"}
"""The button that loses something."""

KERNEL = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
RESTART = "void window.jupyterapp.commands.execute('notebook:restart-kernel')"

SLOW_TO_END = """
import threading, time
from labkit.engine.progress import watching
from labkit.model.words import under_way
cancel = threading.Event()
with watching(under_way("save", "web"), cancel=cancel):
    cancel.wait(60)
    time.sleep(5)
"""
"""What no act does that can be waited for: it is cancelled, and takes a while to end."""

Scenes: TypeAlias = Iterator[tuple[str, Locator]]


def main(words: Sequence[str]) -> int:
    """Make the pictures; returns the exit code."""
    into = Path(words[0]).absolute()
    into.mkdir(parents=True, exist_ok=True)
    instance = Instance(find_guest_images())
    try:
        with (
            instance.in_force(),
            _fill(),
            tempfile.TemporaryDirectory() as folder,
            start_server(Path(folder)) as server,
            open_window(WIDE, HEIGHT) as window,
        ):
            page = window.page
            write_notebook(server, "moments.ipynb", [OPENING, *PANELS.values()])
            open_notebook(page, server, "moments.ipynb")
            for look in LOOKS:
                run_all(page)
                live = page.locator(".labkit:not(.labkit-left) > section.labkit-panel")
                expect(live).to_have_count(len(PANELS), timeout=MINUTE)
                put_on(page, look)
                still = ((name, _find(page, name)) for name in STILL)
                for name, shown in chain(
                    still,
                    _refused(page),
                    _wrong(page),
                    _lost(page),
                    _at_work(page, instance),
                    _switched(page),
                    _boxes(page, instance),
                    _left(page),
                ):
                    write_picture(shown, into / f"{name}-{look.words}.png")
    finally:
        instance.end()
    return 0


@contextmanager
def _fill() -> Iterator[None]:
    """Fill three labs: one with a machine that others stand on, one with a class, one with nothing."""
    with Lab.open() as lab, Lab.open("class") as many, Lab.open("empty"):
        try:
            web = lab.create("web", memory="96 MiB")
            web.snapshots.take("fresh")
            web.start().wait_ready()
            web.snapshots.take("configured")
            web.run("dd if=/dev/urandom of=/root/log bs=1M count=20 conv=fsync")
            web.snapshots.take("with-log")
            web.snapshots.restore("configured")
            web.clone("seat-{:02}", kind="linked", snapshot="fresh", count=3)
            lab.create("ended", image="sector", memory="16 MiB").start().kill()
            lab.disks.create("big", capacity="1 GiB", format="raw", allocation="fixed")
            grown = lab.create("grown", image="sector", memory="16 MiB")
            for number in range(60):
                grown.snapshots.take(f"s{number}")
                if number % 9 == 8:
                    grown.snapshots.restore(f"s{number // 3}")
            first = many.create("seat-00", image="sector", memory="16 MiB")
            first.snapshots.take("given")
            first.clone("seat-{:02}", kind="linked", snapshot="given", count=49)
            for number in range(1, 50, 7):
                many.machines[f"seat-{number:02}"].start()
            yield
        finally:
            many.clean()
            lab.clean()


def _find(page: Page, name: str) -> Locator:
    return find(page, name, PANELS)


def _send(panel: Locator, action: str, fields: Mapping[str, str]) -> None:
    """Fill in a form, also one in a closed fold, and send it."""
    form = panel.locator(f"form[data-action={action}]")
    form.evaluate("form => form.closest('details')?.setAttribute('open', '')")
    for name, value in fields.items():
        form.locator(f"[name={name}]").fill(value)
    form.evaluate("form => form.requestSubmit()")


def _leave(panel: Locator, action: str) -> None:
    """Put away what came of it, and close the folds that were opened for it."""
    panel.locator(f"button[data-action={action}]").click()
    expect(panel.locator(f"button[data-action={action}]")).to_have_count(0, timeout=MINUTE)


def _refused(page: Page) -> Scenes:
    for name, (action, fields) in REFUSED.items():
        panel = _find(page, name)
        _send(panel, action, fields)
        expect(panel.locator(".labkit-refusal, .labkit-error")).to_be_visible(timeout=MINUTE)
        yield f"refused-{name}", panel
        _leave(panel, "leave" if panel.locator(".labkit-plan").count() else "dismiss")
    yield "refused-lineage", _find(page, "lineage")


def _wrong(page: Page) -> Scenes:
    for name, (action, fields) in WRONG.items():
        panel = _find(page, name)
        _send(panel, action, fields)
        expect(panel.locator(".labkit-error")).to_be_visible(timeout=MINUTE)
        yield f"wrong-{name}", panel
        _leave(panel, "dismiss")


def _lost(page: Page) -> Scenes:
    _find(page, "snapshots").locator("[role=treeitem][data-subject=configured]").click()
    for name, action in LOST.items():
        panel = _find(page, name)
        panel.locator(f"button[data-action={action}]").click()
        expect(panel.locator(".labkit-plan")).to_be_visible(timeout=MINUTE)
        yield f"lost-{name}", panel
        _leave(panel, "leave")


def _at_work(page: Page, instance: Instance) -> Scenes:
    panel = _find(page, "disks")
    _send(panel, "convert", {"name": "copy"})
    panel.locator("button[data-action=confirm]").click()
    _stop_tool(instance)
    expect(panel.locator(".labkit-work progress[value]")).to_be_visible(timeout=MINUTE)
    yield "work-disks", panel
    panel.locator("button[data-action=cancel]").click()
    expect(panel.locator(".labkit-result")).to_be_visible(timeout=MINUTE)
    yield "cancelled-disks", panel


def _switched(page: Page) -> Scenes:
    """What lasts longer than a moment in a row: waiting for a guest that does not hear."""
    panel = _find(page, "lab")
    row = panel.locator("[data-words^='ended ']")
    with Lab.open() as lab:
        deaf = lab.machines["ended"].start()
        row.locator("button[data-action=stop]:not([aria-disabled=true])").click()
        expect(row.locator(".labkit-work")).to_be_visible(timeout=MINUTE)
        yield "work-lab", panel
        row.locator("button[data-action=cancel]").click()
        expect(panel.locator(".labkit-result")).to_be_visible(timeout=MINUTE)
        yield "cancelled-lab", panel
        deaf.kill()


def _stop_tool(instance: Instance) -> None:
    """Let the conversion that has just begun stand still, so that there is time to look at it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for process in psutil.process_iter(["name", "cmdline"]):
            words = process.info["cmdline"] or ()
            if process.info["name"] == "qemu-img" and any(str(instance.folder) in word for word in words):
                time.sleep(0.3)  # something is done
                process.suspend()
                return
        time.sleep(0.02)
    raise AssertionError("Nothing is converted.")


def _boxes(page: Page, instance: Instance) -> Scenes:
    box = page.locator(".labkit-float")
    _run(page, "lab.disks['big'].convert('copy', format='raw', allocation='fixed')")
    _stop_tool(instance)
    expect(box.locator("progress[value]")).to_be_visible(timeout=MINUTE)
    yield "box-bytes", box
    box.locator("[data-action=cancel]").click()
    expect(box).to_have_count(0, timeout=MINUTE)
    _run(page, "lab.machines['web'].kill(); lab.machines['web'].start().wait_ready()")
    expect(box.locator("[data-action=cancel]")).to_be_visible(timeout=MINUTE)
    yield "box-wait", box
    expect(box).to_have_count(0, timeout=3 * MINUTE)
    _run(page, SLOW_TO_END)
    box.locator("[data-action=cancel]").click()
    expect(box.locator("[data-action=cancel]")).to_have_count(0, timeout=MINUTE)
    yield "box-cancelling", box
    expect(box).to_have_count(0, timeout=MINUTE)


def _run(page: Page, code: str) -> None:
    page.evaluate(f"code => void {KERNEL}.requestExecute({{code}})", code)


def _left(page: Page) -> Scenes:
    page.evaluate(RESTART)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    for name in ("machine", "console", "disks"):
        expect(_find(page, name).get_by_role("alert")).to_be_visible(timeout=MINUTE)
        yield f"left-{name}", _find(page, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
