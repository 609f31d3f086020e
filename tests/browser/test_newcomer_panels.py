"""Each panel as a newcomer meets it, with the mouse: typed in a cell, a slip, a plan, a yes, and what it did.

One JupyterLab, one page and guests of one sector serve all tests here; what a panel says, the hypervisor confirms.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from labkit import Lab
from labkit.doctor import examine
from tests.browser.conftest import Server
from tests.browser.jupyter import open_notebook, open_page, write_notebook

OPEN = "from labkit import Lab\nfrom labkit.course import *\nfrom labkit.widgets import *\nlab = Lab.open()"
MEMORY = "16 MiB"

NOTE_WORK = """panel => new MutationObserver(records => {
  const added = records.flatMap(record => [...record.addedNodes]);
  panel.worked = [...panel.worked ?? [], ...added.filter(node => node.className === "labkit-work")];
}).observe(panel, {subtree: true, childList: true})"""
"""Remembers each act that the panel says it is at, also one that is over in an instant."""

WORKED = "panel => (panel.worked ?? []).map(node => node.textContent)"

Show: TypeAlias = Callable[[str], Locator]


@pytest.fixture(scope="module")
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A page with an open notebook."""
    with open_page(browser, height=1600) as window:
        write_notebook(server, "newcomer.ipynb", [OPEN, ""])
        open_notebook(window.page, server, "newcomer.ipynb")
        yield window.page
        assert [text for text in window.complaints if "labkit" in text or "widget" in text] == []


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab that the notebook opens: a machine that is off, with a snapshot."""
    with Lab.open() as opened:
        opened.create("web", image="sector", memory=MEMORY).snapshots.take("clean")
        yield opened
        opened.clean()


@pytest.fixture
def show(page: Page, lab: Lab) -> Show:  # noqa: ARG001 — the notebook needs what is in it
    """Open the lab in the notebook's first cell, type a panel into the second one and run it; returns the panel."""

    def run(line: str) -> Locator:
        first, last = (page.locator(".jp-CodeCell .cm-content").nth(place) for place in (0, 1))
        first.click()
        page.keyboard.press("Shift+Enter")
        last.click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(line)
        page.keyboard.press("Control+Enter")
        panel = page.locator(f"section.labkit-panel[data-kind={line.partition('(')[0]}]")
        expect(panel).to_have_count(1)
        panel.evaluate(NOTE_WORK)
        return panel

    return run


def unfold(panel: Locator, title: str) -> Locator:
    """Open a fold, if it is not open yet; returns it."""
    fold = panel.locator("details", has=panel.page.locator("summary", has_text=title)).last
    if not fold.evaluate("fold => fold.open"):
        fold.locator("summary").first.click()
    return fold


def press(panel: Locator, label: str) -> None:
    """Press a button, once it can be pressed."""
    button = panel.get_by_role("button", name=label, exact=True)
    expect(button).not_to_have_attribute("aria-disabled", "true")
    button.click()


def choose(panel: Locator, subject: str) -> None:
    """Click on a row of a tree, and wait until what it is stands beside it."""
    panel.locator(f"[role=treeitem][data-subject='{subject}']").click()
    expect(panel.locator("[role=heading][aria-level='4']").first).to_contain_text(subject)


def carry_out(panel: Locator, label: str, command: str) -> None:
    """Read the plan and its commands, say yes, and read what came of it and what was done."""
    plan = panel.get_by_role("group", name=f"Plan: {label}")
    expect(plan).to_be_visible()
    expect(unfold(plan, "The commands").locator("pre")).to_contain_text(command)
    press(plan, label)
    expect(panel.locator(".labkit-result")).to_have_text(f"✓ {label}: done.")
    expect(plan).to_have_count(0)
    assert f"{label}…" in " ".join(panel.evaluate(WORKED)), "it did not say what it was at"
    expect(unfold(panel, "What really happened").locator("pre").last).to_contain_text(command)


def read_refusal(panel: Locator, why: str, way_out: str) -> None:
    """Read why a plan is refused and the way out, and close it."""
    plan = panel.locator(".labkit-plan")
    expect(plan).to_contain_text(why)
    expect(plan).to_contain_text(f"→ {way_out}")
    expect(plan.locator("[data-action=confirm]")).to_have_count(0)
    press(plan, "Close")
    expect(plan).to_have_count(0)


def read_error(panel: Locator, why: str, way_out: str) -> None:
    """Read what is wrong with what was typed and what to write instead, and close it."""
    error = panel.locator(".labkit-error")
    expect(error).to_contain_text(why)
    expect(error).to_contain_text(f"→ {way_out}")
    press(error, "Close")
    expect(error).to_have_count(0)


def test_lab_panel(show: Show, lab: Lab) -> None:
    panel = show("LabPanel(lab)")
    expect(panel.locator("[data-words^='web ']")).to_contain_text("off")

    form = unfold(panel, "Create a machine").locator("form")
    form.get_by_label("Guest image").select_option("sector")
    form.get_by_label("Memory").fill(MEMORY)
    form.get_by_label("vCPUs").fill("two")
    press(form, "Create…")
    read_error(panel, "'two' is not a number of vCPUs.", "Write a whole number from 1.")
    form.get_by_label("vCPUs").fill("1")
    form.get_by_label("New machine's name").fill("web")
    press(form, "Create…")
    read_refusal(panel, "There is already a machine 'web'.", "Choose another name")
    form.get_by_label("New machine's name").fill("mail")
    press(form, "Create…")
    carry_out(panel, "Create mail", "virsh define")

    row = panel.locator("[data-words^='mail ']")
    press(row, "Start")
    expect(row).to_contain_text("running")
    lab.machines["mail"].wait_for("running")
    press(row, "Cut the power")
    expect(row).to_contain_text("off")
    lab.machines["mail"].wait_for("off")

    row.locator("[data-action=open]").click()
    press(row, "Delete…")
    expect(panel.locator(".labkit-lost")).to_contain_text("the machine mail")
    carry_out(panel, "Delete mail", "virsh undefine")
    expect(row).to_have_count(0)
    assert list(lab.machines) == ["web"]


def test_machine_panel(show: Show, lab: Lab) -> None:
    panel, machine = show('MachinePanel(lab, "web")'), lab.machines["web"]
    state = panel.locator(".labkit-badge").first
    press(panel, "Start")
    expect(panel.locator("pre").first).to_contain_text("512 bytes")
    for button, word in (
        ("Pause", "paused"),
        ("Resume", "running"),
        ("Save", "saved"),
        ("Start", "running"),
        ("Cut the power", "off"),
    ):
        press(panel, button)
        expect(state).to_contain_text(word)
        machine.wait_for(word)

    form = unfold(panel, "Change memory and vCPUs").locator("form")
    form.get_by_label("Memory").fill("lots")
    press(form, "Change…")
    read_error(panel, "'lots'", "Write")
    form.get_by_label("Memory").fill("32 MiB")
    press(form, "Change…")
    carry_out(panel, "Change web", "virsh")
    assert machine.facts.spec.memory == 32 << 20


def test_console(show: Show, lab: Lab, page: Page) -> None:
    panel = show('Console(lab, "web")')
    console = panel.locator("labkit-console")
    expect(console).to_contain_text("web is not running. Start it")
    press(panel, "Start")
    expect(console).to_contain_text("Joined to the serial line")
    lines = console.locator(".xterm-rows")
    expect(lines).to_contain_text("512 bytes")
    console.locator(".xterm-screen").click()
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    expect(lines).to_contain_text("you said: hello")
    page.keyboard.type("o")
    page.keyboard.press("Enter")
    expect(console).to_contain_text("web is not running. Start it")
    lab.machines["web"].wait_for("off")


def test_snapshot_panel(show: Show, lab: Lab) -> None:
    panel, snapshots = show('SnapshotPanel(lab, "web")'), lab.machines["web"].snapshots
    take = panel.locator("form[data-action=take]")
    take.get_by_label("Name").fill("clean")
    press(take, "Take…")
    read_refusal(panel, "There is already a snapshot 'clean'.", "Choose another name.")
    take.get_by_label("Name").fill("later")
    press(take, "Take…")
    carry_out(panel, "Take later", "virsh snapshot-create")
    assert (list(snapshots), snapshots.current) == (["clean", "later"], "later")

    choose(panel, "clean")
    restore = panel.locator("form[data-action=restore]")
    expect(restore.get_by_label("Save the current state first")).to_be_checked()
    press(restore, "Restore…")
    carry_out(panel, "Restore clean", "virsh snapshot")
    assert snapshots.current == "clean"

    choose(panel, "later")
    press(panel, "Delete…")
    carry_out(panel, "Delete later", "virsh snapshot-delete")
    assert "later" not in snapshots


def test_clone_panel(show: Show, lab: Lab) -> None:
    panel = show('ClonePanel(lab, "web")')
    form = panel.locator("form[data-action=clone]")
    form.get_by_label("Name, or a pattern").fill("seat-{:02}")
    form.get_by_label("How many").fill("a few")
    press(form, "Clone…")
    read_error(panel, "'a few' is not a number of clones.", "Write a whole number from 1.")
    form.get_by_label("How many").fill("2")
    form.locator("[name=kind]").select_option("linked")
    form.locator("[name=snapshot]").select_option("clean")
    press(form, "Clone…")
    carry_out(panel, "Clone web", "qemu-img create")
    expect(panel).to_contain_text("2 clones stand on it")
    expect(panel).not_to_contain_text("not carried out yet")
    assert [lab.lineage.original(name) for name in ("seat-01", "seat-02")] == ["web@clean"] * 2

    press(panel, "Flatten seat-01…")
    carry_out(panel, "Flatten seat-01", "qemu-img convert")
    assert lab.lineage.original("seat-01") is None


def test_disk_panel(show: Show, lab: Lab) -> None:
    panel = show("DiskPanel(lab)")
    form = unfold(panel, "Create a disk").locator("form")
    form.get_by_label("Capacity").fill("a lot")
    press(form, "Create…")
    read_error(panel, "'a lot'", "Write")
    form.get_by_label("Capacity").fill("4 MiB")
    form.get_by_label("Format").select_option("vdi")
    press(form, "Create…")
    carry_out(panel, "Create data", "qemu-img create")
    assert lab.disks["data"].format == "vdi"

    form = unfold(panel, "Convert it into a new disk").locator("form")
    form.get_by_label("New disk's name").fill("data")
    press(form, "Convert…")
    read_refusal(panel, "data cannot be converted onto itself.", "Give the new disk another name.")
    form.get_by_label("New disk's name").fill("copy")
    form.get_by_label("Format").select_option("raw")
    press(form, "Convert…")
    carry_out(panel, "Convert data", "qemu-img convert")

    expect(panel.get_by_role("treeitem", selected=True)).to_contain_text("copy")
    press(unfold(panel, "Attach it to a machine").locator("form"), "Attach…")
    carry_out(panel, "Attach copy", "virsh attach-device")
    assert "copy" in [disk.name for disk in lab.machines["web"].facts.spec.disks]
    press(panel, "Detach…")
    carry_out(panel, "Detach copy", "virsh detach-disk")
    press(panel, "Delete…")
    carry_out(panel, "Delete copy", "rm ")
    assert "copy" not in lab.disks


def test_lineage_panel(show: Show, lab: Lab) -> None:
    lab.machines["web"].clone("copy", kind="linked", snapshot="clean")
    panel = show("LineagePanel(lab)")
    choose(panel, "web@clean")
    expect(panel).to_contain_text("The reason stands above.")
    expect(panel.locator("div.labkit-note:not(.labkit-stale)")).to_contain_text("stand on: copy.")
    expect(panel.get_by_role("button", name="Delete…")).to_have_attribute("aria-disabled", "true")
    press(panel, "Flatten copy…")
    carry_out(panel, "Flatten copy", "qemu-img convert")
    assert lab.lineage.original("copy") is None
    press(panel, "Delete…")
    carry_out(panel, "Delete web@clean", "virsh snapshot-delete")
    assert not lab.machines["web"].snapshots


def test_host_panel(show: Show, lab: Lab) -> None:
    panel, host = show("HostPanel(lab)"), lab.host
    expect(panel).to_contain_text(host.why)
    floor = host.floors[0]
    expect(unfold(panel, floor.name)).to_contain_text(floor.evidence[0])
    versions = unfold(panel, "Versions")
    for _name, version in host.version_table:
        expect(versions).to_contain_text(version or "not there")
    press(panel, "Look again")
    expect(panel).to_contain_text(host.why)


def test_doctor_panel(show: Show, page: Page) -> None:
    with Lab.open("gone") as gone:
        domain = gone.create("left", image="sector", memory=MEMORY).facts.spec.domain_name
        shutil.rmtree(gone.home)  # by hand: the hypervisor still knows the machine
    try:
        panel = show("DoctorPanel(lab)")
        check = panel.locator("li", has_text="Machines of labs that are gone")
        expect(check).to_contain_text(domain)
        expect(check).to_contain_text("cause: The folder of their lab is not where it was")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        press(check, "Copy")
        page.wait_for_function("navigator.clipboard.readText().then(text => text.startsWith('./lab run'))")
        repair = shlex.split(page.evaluate("navigator.clipboard.readText()"))
        assert repair[:2] == ["./lab", "run"]
        subprocess.run(repair[2:], check=True, capture_output=True, timeout=240)
        press(panel, "Look again")
        expect(unfold(panel, "What is fine")).to_contain_text("Every machine belongs to a lab that is there.")
        expect(panel.locator("strong").first).to_have_text(examine().verdict)
    finally:
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", domain], check=False, capture_output=True)


BROKEN = """panel => [...panel.querySelectorAll(":not(pre) > code")]
  .filter(code => code.getClientRects().length > 1).map(code => code.textContent)"""
"""The names of a panel of which a part stands in one line and a part in the next."""


@pytest.mark.parametrize("width", [1280, 700, 560])
def test_no_name_is_broken_over_two_lines(show: Show, page: Page, width: int) -> None:
    panel = show('ExercisePanel(exercise("which-kind", lab))')
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": width, "height": size["height"]})
    try:
        expect(panel).to_contain_text("kind-stays-1")
        assert panel.evaluate(BROKEN) == []
        assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    finally:
        page.set_viewport_size(size)
