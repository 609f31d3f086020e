"""A base that is lost: every panel says which file it is and who needs it, and offers to bring it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.doctor.losses import check_losses
from labkit.figures import draw_lineage
from labkit.model.diagnosis import Status
from labkit.widgets import ClonePanel, DiskPanel, LabPanel, LineagePanel, MachinePanel, SnapshotPanel
from labkit.widgets.act_parts import render_plan
from labkit.widgets.live import LivePanel
from tests.widgets.test_machine_panel import show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually

GONE = "The image data.0.qcow2 is gone. link, web, web@clean need it."
DAMAGED = "The image data.0.qcow2 is there but cannot be read: another program has written over its beginning."


@pytest.fixture
def base(lab: Lab) -> Path:
    """The image that a snapshot of `web` keeps, and that a linked clone stands on."""
    web = lab.create("web", image="sector", memory="16 MiB")
    web.attach(lab.disks.create("data", capacity="8 MiB"))
    web.snapshots.take("clean")
    web.clone("link", kind="linked", snapshot="clean")
    return Path(web.snapshots["clean"].disks[1].path)


PANELS: dict[str, Callable[[Lab], LivePanel]] = {
    "lab": LabPanel,
    "disks": lambda lab: DiskPanel(lab, "link.data"),
    "lineage": lambda lab: LineagePanel(lab, "link"),
    "lineage of the file": lambda lab: LineagePanel(lab, str(lab.home / "disks" / "data.0.qcow2")),
    "machine": lambda lab: MachinePanel(lab, "link"),
    "snapshots": lambda lab: SnapshotPanel(lab, "web"),
    "clones": lambda lab: ClonePanel(lab, "link"),
    "clones of the original": lambda lab: ClonePanel(lab, "web"),
}


@pytest.mark.parametrize("kind", PANELS)
def test_every_panel_says_what_is_lost_and_who_needs_it(lab: Lab, base: Path, kind: str) -> None:
    panel = PANELS[kind](lab)
    assert "⚠" not in panel.page().text
    base.rename(lab.home / "aside")
    panel.refresh()
    assert GONE in panel.page().text
    assert "it stands alone" not in panel.page().text

    base.write_bytes(bytes(4096))
    panel.refresh()
    assert DAMAGED in panel.page().text
    assert GONE not in panel.page().text
    assert list(lab.orphans) == []


def test_what_has_lost_its_base_does_not_offer_to_start(lab: Lab, base: Path) -> None:
    base.rename(lab.home / "aside")
    for panel in (LabPanel(lab), MachinePanel(lab, "link")):
        starts = [button for button in panel.page().find("button") if button.attributes.get("data-action") == "start"]
        assert {button.attributes["title"] for button in starts} == {"The image data.0.qcow2 is gone."}


def test_doctor_says_what_is_lost(lab: Lab, base: Path) -> None:
    assert check_losses(lab.home.parent, lab.uri).status is Status.OK
    base.rename(lab.home / "aside")
    check = check_losses(lab.home.parent, lab.uri)
    assert check.status is Status.NOTE
    assert lab.name in check.what
    assert GONE in str(check.cause)
    assert 'lab.machines["link"].relink("link.data", "…")' in str(check.cause)


def test_twins_and_the_drawing_say_it_too(lab: Lab, base: Path) -> None:
    base.rename(lab.home / "aside")
    for kind in ("machine", "clones", "clones of the original"):
        twins = show(PANELS[kind](lab))
        assert GONE in str(twins["text/plain"])
        assert GONE in str(twins["text/html"])
    assert GONE in str(show(LabPanel(lab))["text/html"])
    for twin in (repr(draw_lineage(lab.lineage)), str(show(LineagePanel(lab))["text/plain"])):
        assert "web@clean (an image of it is gone)" in twin
        assert "link (linked clone, on an image that is lost)" in twin
        assert "web (machine, on an image that is lost)" in twin


@pytest.mark.parametrize("kind", ["lab", "disks", "lineage", "machine", "clones"])
def test_it_is_brought_back_from_where_it_is_told(lab: Lab, base: Path, kind: str) -> None:
    panel = PANELS[kind](lab)
    if kind == "lab":
        press(panel, "open", subject=lab.machines["link"].id)
    content = base.read_bytes()
    shutil.move(base, lab.home / "aside")
    panel.refresh()
    (form,) = (each for each in panel.page().find("form") if each.attributes["data-action"] == "relink")
    assert form.attributes["data-subject"] == "link"
    assert [option.attributes["value"] for option in form.find("option")] == ["link.data"]

    press(panel, "relink", subject="link", disk="link.data", file=str(lab.home / "aside"))
    eventually(lambda: panel.busy is None)
    assert "aside holds what data.0.qcow2 held" in panel.page().text
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    assert base.read_bytes() == content
    assert "is gone" not in panel.page().text
    assert [each for each in panel.page().find("form") if each.attributes["key"] == "relink link"] == [] or (
        kind == "clones"
    )


def test_what_stands_in_another_file_then_is_not_told_as_lost(lab: Lab, base: Path) -> None:
    """A compacted or resized disk's former file, a merged layer, a flattened clone's base: their content goes on."""
    vdi = lab.disks.create("vdi", capacity="8 MiB", format="vdi")
    web = lab.machines["web"]
    web.snapshots.take("later")
    web.snapshots.take("last")
    plans = [vdi.compact.plan(), vdi.resize.plan("16 MiB"), web.snapshots.delete.plan("later")]
    for plan in plans:
        assert plan.files.deleted
        assert plan.lost == ()
        assert "lost for good" not in render_plan(plan).text
    gone = vdi.delete.plan()
    assert gone.lost == gone.files.deleted == vdi.facts.active.files
    assert base.exists()


def test_zeros_are_filled_in_and_not_copied(lab: Lab) -> None:
    fixed = lab.disks.create.plan("fixed", capacity="8 MiB", allocation="fixed")
    assert "Fills 8 MiB with zeros." in render_plan(fixed).text
    assert "Copies" not in render_plan(fixed).text
    lab.disks.create("fixed", capacity="8 MiB", allocation="fixed")
    assert "Copies 8" in render_plan(lab.disks["fixed"].convert.plan("other", format="vdi")).text
