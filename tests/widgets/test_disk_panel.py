"""The panel of disks on a real lab: what it shows, what its acts do, what it says where they cannot be done."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.errors import NotFound
from labkit.machine import Machine
from labkit.model.regions import Region, RegionKind
from labkit.units import KIB, MIB
from labkit.widgets import DiskPanel
from labkit.widgets.disk.parts import CELLS, _cells, _runs
from labkit.widgets.tree import Node
from tests.widgets.test_machine_panel import actions, drawn, show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


def done(panel: DiskPanel, action: str, **values: str) -> None:
    """Ask for an act and wait until its plan, or it, is there."""
    press(panel, action, **values)
    eventually(lambda: panel.busy is None)


def carried_out(panel: DiskPanel, action: str, **values: str) -> None:
    """Ask for an act, look at its plan, confirm it."""
    done(panel, action, **values)
    assert "Plan:" in panel.page().text, panel.page().text
    done(panel, "confirm")


def forms(panel: DiskPanel) -> dict[str, Node]:
    """Return the forms by what they ask for."""
    return {form.attributes["data-action"]: form for form in panel.page().find("form")}


def test_twins_tell_of_the_named_disk_alone_and_nothing_measured(lab: Lab) -> None:
    lab.disks.create("data", capacity="64 MiB", format="vdi")
    lab.disks.create("other", capacity="8 MiB")
    bundle = show(DiskPanel(lab, "data"))
    assert bundle["text/plain"] == "DiskPanel: data: vdi, dynamic, 64 MiB — free"
    html = str(bundle["text/html"])
    assert "vdi, dynamic, 64 MiB" in html
    for word in ("other", "KiB", "svg", "select", "option", "button", str(lab.home)):
        assert word not in html
    assert "other" not in str(show(DiskPanel(lab))["text/html"])


def test_unknown_disk_is_refused_with_the_names_there_are(lab: Lab) -> None:
    lab.disks.create("data", capacity="8 MiB")
    with pytest.raises(NotFound) as refusal:
        DiskPanel(lab, "dat")
    assert "data" in refusal.value.hint


def test_empty_lab_offers_to_create_a_disk(lab: Lab) -> None:
    panel = DiskPanel(lab)
    assert "no disk yet" in panel.page().text
    carried_out(panel, "create", name="data", capacity="8 MiB", format="vhd", allocation="fixed")
    assert (lab.disks["data"].format, lab.disks["data"].allocation) == ("vhd", "fixed")
    assert "qemu-img create" in panel.page().text
    assert "✓ Create data: done." in panel.page().text
    done(panel, "create", name="data", capacity="8 MiB", format="vhd", allocation="fixed")
    assert "done." not in panel.page().text


@pytest.mark.parametrize(
    ("name", "capacity", "format", "allocation"),
    [("", "8 MiB", "vdi", "fixed"), ("data", "eight", "vdi", "fixed"), ("data", "0", "vdi", "fixed"),
     ("data", "8 MiB", "zip", "fixed"), ("data", "8 MiB", "vdi", "elastic"), ("data", "1001", "raw", "dynamic")],
)  # fmt: skip
def test_disk_that_cannot_be_is_refused_in_the_panel(
    lab: Lab, name: str, capacity: str, format: str, allocation: str
) -> None:
    panel = DiskPanel(lab)
    done(panel, "create", name=name, capacity=capacity, format=format, allocation=allocation)
    text = panel.page().text
    assert "✗ Error" in text or "✗ Refused" in text
    assert not lab.disks


def test_new_disk_is_offered_a_name_that_is_free(lab: Lab) -> None:
    panel = DiskPanel(lab)
    offered = []
    for _time in range(3):
        offered.append(next(forms(panel)["create"].find("input")).attributes["value"])
        lab.disks.create(offered[-1], capacity="8 MiB")
        panel.refresh()
    assert offered == ["data", "data-2", "data-3"]


def test_three_sizes_and_the_map_are_shown_of_the_chosen_disk(lab: Lab) -> None:
    lab.disks.create("a", capacity="8 MiB", format="raw", allocation="fixed")
    lab.disks.create("b", capacity="16 MiB")
    panel = DiskPanel(lab)
    show(panel)
    assert "a.0.raw 8 MiB of data" in panel.page().text
    done(panel, "show", subject="b")
    text = panel.page().text
    assert "b.0.qcow2 nothing yet" in text
    assert "capacity: what the guest sees 16 MiB" in text


def test_growth_is_shown_while_the_guest_writes(guest: Machine) -> None:
    disk = guest.lab.disks.create("data", capacity="32 MiB")
    guest.attach(disk)
    panel = DiskPanel(guest.lab, "data")
    show(panel)
    eventually(lambda: len(panel._store.reading.growth.get("data", ())) >= 2)
    guest.run("dd if=/dev/urandom of=/dev/vdb bs=64k conv=fsync")
    eventually(lambda: panel._store.reading.growth["data"][-1] > 32 * MIB)
    assert "over the last minute" in drawn(panel)


def test_acts_of_a_free_disk_go_through_their_plans(lab: Lab) -> None:
    lab.disks.create("data", capacity="8 MiB")
    lab.create("web")
    panel = DiskPanel(lab, "data")
    carried_out(panel, "resize", capacity="16 MiB")
    assert lab.disks["data"].capacity == 16 * MIB
    carried_out(panel, "convert", name="copy", format="vdi", allocation="fixed")
    assert lab.disks["copy"].format == "vdi"
    assert "copy — vdi, fixed" in panel.page().text
    done(panel, "show", subject="data")
    carried_out(panel, "compact")
    carried_out(panel, "attach", machine="web")
    assert "data" in [disk.name for disk in lab.machines["web"].facts.spec.disks]
    carried_out(panel, "detach")
    assert "data" not in [disk.name for disk in lab.machines["web"].facts.spec.disks]
    carried_out(panel, "delete")
    assert "data" not in lab.disks
    assert panel.line() == "data: gone"


def test_acts_that_cannot_be_done_say_why(guest: Machine) -> None:
    fixed = guest.lab.disks.create("fixed", capacity="8 MiB", format="vdi", allocation="fixed")
    panel = DiskPanel(guest.lab, fixed)
    excuses = actions(panel)
    assert "fixed: it holds its whole capacity" in str(excuses["compact"])
    assert "attached to no machine" in str(excuses["detach"])
    assert excuses["delete"] is None
    done(panel, "show", subject="web.vda")
    excuses = actions(panel)
    assert "in use by web" in str(excuses["compact"])
    assert "attached to web" in str(excuses["delete"])
    assert "already attached to web" in forms(panel)["attach"].text
    assert "in use by web" in forms(panel)["convert"].text


def test_detach_of_a_mounted_disk_is_refused_with_the_way_out(guest: Machine) -> None:
    guest.attach(guest.lab.disks.create("data", capacity="16 MiB"))
    guest.run("labkit-mount vdb")
    panel = DiskPanel(guest.lab, "data")
    done(panel, "detach")
    assert "Refused" in panel.page().text
    assert "umount /mnt/vdb" in panel.page().text


def test_dynamic_disk_that_is_full_can_be_compacted(guest: Machine) -> None:
    disk = guest.lab.disks.create("data", capacity="16 MiB")
    guest.attach(disk)
    guest.run("dd if=/dev/zero of=/dev/vdb bs=64k conv=fsync")
    guest.detach(disk)
    panel = DiskPanel(guest.lab, disk)
    assert disk.allocated > 16 * MIB
    carried_out(panel, "compact")
    assert disk.allocated < MIB


def test_disk_that_went_away_behind_the_panel_is_told(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="8 MiB")
    panel = DiskPanel(lab, disk)
    disk.delete()
    done(panel, "compact")
    assert "no disk 'data'" in panel.page().text or "no longer there" in panel.page().text
    panel.refresh()
    assert "no disk yet" in panel.page().text


def test_closed_lab_is_told(lab: Lab) -> None:
    with Lab.open(lab.name) as closing:
        panel = DiskPanel(closing)
    panel.refresh()
    assert "The lab is closed" in panel.page().text


def test_region_smaller_than_a_cell_still_shows_and_data_goes_before_zeros() -> None:
    regions = (
        Region(start=0, length=4 * KIB, kind=RegionKind.ZERO, layer=0),
        Region(start=4 * KIB, length=4 * KIB, kind=RegionKind.DATA, layer=0),
        Region(start=1000 * MIB, length=24 * MIB, kind=RegionKind.ZERO, layer=0),
    )
    assert _runs(_cells(1024 * MIB, regions, 0)) == [(0, 1, RegionKind.DATA), (175, CELLS, RegionKind.ZERO)]
    assert _runs(_cells(1024 * MIB, regions, 1)) == []
