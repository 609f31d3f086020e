"""The panel of the lab tells the files that nobody needs, and adopts or discards them, a plan first."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.widgets import LabPanel
from tests.beside.hands import virsh
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


@pytest.fixture
def panel(lab: Lab) -> LabPanel:
    """The panel of a lab with a machine whose snapshot `left` virsh has forgotten, and a file of somebody's."""
    web = lab.create("web", image="sector", memory="16 MiB")
    web.snapshots.take("one").take("left").restore("one")
    assert "nobody needs" not in LabPanel(lab).page().text
    virsh("snapshot-delete", web.facts.spec.domain_name, "left", "--metadata")
    (lab.home / "disks" / "notes.txt").write_text("mine")
    return LabPanel(lab)


def do(panel: LabPanel, action: str, **values: str) -> str:
    """Ask for a plan, carry it out, and return what the plan said."""
    press(panel, action, **values)
    eventually(lambda: panel.busy is None)
    said = panel.page().text
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    return said


def offered(panel: LabPanel) -> dict[str, list[str]]:
    """What can be done with each orphan."""
    fold = next(each for each in panel.page().find("details") if each.attributes["key"] == "orphans")
    return {row.attributes["key"]: [button.text for button in row.find("button")] for row in fold.find("li")}


def test_orphans_are_told_adopted_and_discarded(lab: Lab, panel: LabPanel) -> None:
    (image,) = (name for name in lab.orphans if name != "notes.txt")
    assert "2 files that nobody needs" in panel.page().text
    assert "It is the snapshot left of web, which another program made libvirt forget." in panel.page().text
    assert offered(panel) == {image: ["Adopt as a snapshot…", "Adopt…", "Discard…"], "notes.txt": ["Discard…"]}

    assert "Plan: Adopt" in do(panel, "adopt", subject=image)
    assert list(lab.orphans) == ["notes.txt"]
    assert [disk.machine for disk in lab.disks.values()].count(None) == 1
    assert "disks/notes.txt" in do(panel, "discard", subject="notes.txt")
    assert list(lab.orphans) == []
    assert "nobody needs" not in panel.page().text


def test_all_are_discarded_at_once(lab: Lab, panel: LabPanel) -> None:
    assert "This is lost for good" in do(panel, "discard-all")
    assert list(lab.orphans) == []
    assert lab.machines["web"].snapshots.current == "one"


def test_a_machine_that_libvirt_was_made_to_forget_is_brought_back(lab: Lab, panel: LabPanel) -> None:
    virsh("undefine", lab.machines["web"].facts.spec.domain_name, "--snapshots-metadata")
    panel = LabPanel(lab)
    assert "It is of web, which the lab's record knows and libvirt does not." in panel.page().text
    images = {name for name, buttons in offered(panel).items() if buttons == ["Bring back", "Discard…"]}
    assert images >= {name for name in lab.orphans if name.startswith("web.vda.")}
    assert "Bring the machine back" in do(panel, "discard-all")
    assert set(lab.orphans) >= images  # only notes.txt is gone
    press(panel, "bring-back")
    eventually(lambda: panel.busy is None and "web" in lab.machines)
    assert "web: it came back from the lab's record" in panel.page().text
    assert lab.machines["web"].snapshots.current == "one"


def test_a_snapshot_that_virsh_made_libvirt_forget_comes_back(lab: Lab, panel: LabPanel) -> None:
    (image,) = (name for name in lab.orphans if name != "notes.txt")
    assert "web can be restored to left again" in do(panel, "adopt-as-snapshot", subject=image)
    assert list(lab.machines["web"].snapshots) == ["one", "left"]
    assert list(lab.orphans) == ["notes.txt"]
