"""`python -m tests.browser.troubles FOLDER`: pictures of what panels show of a lab in which something is wrong.

A base that is gone, one that is damaged, a machine without disks, an act that was interrupted, files that nobody
needs. To be looked at after a change.

It runs on a hypervisor instance of its own, as the tests do, and leaves nothing else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from labkit import Lab
from tests.beside.hands import virsh
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook
from tests.browser.pictures import HEIGHT, OPENING, WIDE, find, write_picture
from tests.engine.kernel import Instant, Kernel
from tests.instance import Instance, find_guest_images

PANELS = {
    "lab": "LabPanel(lab)",
    "clone": 'MachinePanel(lab, "link")',
    "bare": 'MachinePanel(lab, "bare")',
    "snapshots": 'SnapshotPanel(lab, "web")',
    "no-disks": 'SnapshotPanel(lab, "bare")',
    "clones": 'ClonePanel(lab, "link")',
    "disks": 'DiskPanel(lab, "link.data")',
    "lineage": 'LineagePanel(lab, "link")',
    "doctor": "DoctorPanel(lab)",
}
HALF_WAY = "with Lab.open('default') as lab: lab.create('half', image='tiny')"


def main(words: Sequence[str]) -> int:
    """Make the pictures; returns the exit code."""
    into = Path(words[0]).absolute()
    into.mkdir(parents=True, exist_ok=True)
    instance = Instance(find_guest_images())
    try:
        with (
            instance.in_force(),
            _fill() as lab,
            tempfile.TemporaryDirectory() as folder,
            start_server(Path(folder)) as server,
            open_window(WIDE, HEIGHT) as window,
        ):
            page, base = window.page, Path(lab.machines["web"].snapshots["clean"].disks[1].path)
            write_notebook(server, "troubles.ipynb", [OPENING, *PANELS.values()])
            open_notebook(page, server, "troubles.ipynb")
            base.rename(lab.home / "aside")
            _look(page, into, "gone")
            base.write_bytes(bytes(4096))
            _look(page, into, "damaged")
            base.unlink()
            (lab.home / "aside").rename(base)
            with Kernel(HALF_WAY, stop=Instant(function="_copy_data")) as kernel:
                kernel.wait_stopped()
                _look(page, into, "at-work")
                kernel.kill()
            expect(find(page, "lab", PANELS)).to_contain_text("interrupted", timeout=MINUTE)
            _write(page, into, "interrupted")
    finally:
        instance.end()
    return 0


@contextmanager
def _fill() -> Iterator[Lab]:
    """Fill a lab: a machine and a clone on it, one without disks, a snapshot that virsh has forgotten."""
    with Lab.open() as lab:
        try:
            web = lab.create("web", image="sector", memory="16 MiB")
            web.attach(lab.disks.create("data", capacity="8 MiB"))
            web.snapshots.take("clean").take("left").restore("clean")
            web.clone("link", kind="linked", snapshot="clean")
            virsh("snapshot-delete", web.facts.spec.domain_name, "left", "--metadata")
            lab.create("bare", image="sector", memory="16 MiB").detach("bare.vda")
            yield lab
        finally:
            lab.clean()


def _look(page: Page, into: Path, name: str) -> None:
    """Run all cells again, and take a picture of each panel."""
    run_all(page)
    expect(page.locator(".labkit:not(.labkit-left) > section.labkit-panel")).to_have_count(len(PANELS), timeout=MINUTE)
    expect(find(page, "doctor", PANELS).locator("strong").first).to_be_visible(timeout=MINUTE)
    orphans = find(page, "lab", PANELS).locator("summary", has_text="nobody needs")
    if orphans.count():
        orphans.click()
    find(page, "lab", PANELS).locator(".labkit-opener").nth(1).click()
    _write(page, into, name)


def _write(page: Page, into: Path, name: str) -> None:
    page.wait_for_timeout(1000)
    for panel in PANELS:
        write_picture(find(page, panel, PANELS), into / f"{name}-{panel}.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
