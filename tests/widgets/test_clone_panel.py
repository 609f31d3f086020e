"""The panel of clones on a real machine: full and linked, many at once, estimate and measurement, flatten, relink."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import NotFound
from labkit.machine import Machine
from labkit.units import MIB, parse_size
from labkit.widgets.clone.panel import ClonePanel
from tests.widgets.test_machine_panel import drawn, show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually

Values = dict[str, str]
FULL: Values = {"kind": "full", "identity": "new", "snapshot": "", "count": "1"}
LINKED = {**FULL, "kind": "linked"}


@pytest.fixture
def machine(lab: Lab) -> Machine:
    """A machine that is off, with a snapshot."""
    machine = lab.create("web")
    machine.snapshots.take("clean")
    return machine


def do(panel: ClonePanel, action: str, base: Values | None = None, *, confirm: bool = True, **values: str) -> None:
    """Ask for a plan with some fields, on top of those of a form, and carry it out."""
    press(panel, action, **{**(base or {}), **values})
    eventually(lambda: panel.busy is None)
    if confirm:
        press(panel, "confirm")
        eventually(lambda: panel.busy is None, seconds=180)


def costs(panel: ClonePanel) -> dict[str, list[str]]:
    """The table of estimates and measurements: by row, its cells."""
    tables = [table for table in panel.page().find("table") if list(table.find("thead"))]
    lines = [line for table in tables for line in table.find("tr")]
    return {next(line.find("th")).text: [cell.text for cell in line.find("td")] for line in lines}


def test_twins_tell_the_machine_and_its_clones(machine: Machine) -> None:
    machine.clone("seat-{:02}", kind="linked", snapshot="clean", count=5)
    first, second = show(ClonePanel(machine)), show(ClonePanel(machine.lab, "web"))
    assert first["text/plain"] == "ClonePanel: web\nclones on it: seat-01 … seat-05"
    assert repr(ClonePanel(machine.lab, "seat-01")).startswith("ClonePanel: seat-01, linked clone of web@clean")
    assert first["text/html"] == second["text/html"]
    for word in (machine.id, "MiB", "button", str(machine.lab.home)):
        assert word not in str(first["text/html"])


def test_unknown_machine_is_refused(machine: Machine) -> None:
    with pytest.raises(NotFound):
        ClonePanel(machine.lab, "db")


def test_full_clone_shows_an_estimate_and_then_what_it_took(machine: Machine) -> None:
    panel = ClonePanel(machine)
    do(panel, "clone", FULL, confirm=False, name="copy")
    assert "Plan: Clone web" in panel.page().text
    assert "estimate" in panel.page().text
    assert costs(panel)["time"][1] == "not carried out yet"
    assert list(machine.lab.machines) == ["web"]
    press(panel, "confirm")
    eventually(lambda: panel.busy is None, seconds=180)
    assert list(machine.lab.machines) == ["copy", "web"]
    estimate, measured = costs(panel)["given by the host"]
    assert estimate.endswith("MiB")
    assert measured.endswith("MiB")
    assert "not carried out yet" not in panel.page().text
    assert "virsh define" in panel.page().text.split("What really happened")[1]


def test_many_linked_clones_by_a_pattern(machine: Machine) -> None:
    panel = ClonePanel(machine)
    do(panel, "clone", LINKED, name="seat-{:02}", count="3", snapshot="clean")
    assert machine.lab.lineage.direct_clones("web", "clean") == ("seat-01", "seat-02", "seat-03")
    assert "3 clones stand on it" in panel.page().text
    assert "linked to web@clean" in panel.page().text


def test_twin_keeps_the_identity(machine: Machine) -> None:
    do(ClonePanel(machine), "clone", LINKED, name="twin", identity="keep")
    twin = machine.lab.machines["twin"].facts.spec
    assert twin.boot.keeps_identity
    assert machine.lab.lineage.original("twin") == "web@clone-base-1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "web"}, "Refused"),
        ({"name": "a/b"}, "✗ Error"),
        ({"name": "seat", "count": "3"}, "no place for the clones' numbers"),
        ({"name": "seat-{}", "count": "many"}, "not a number of clones"),
        ({"name": "seat-{}", "count": "0"}, "above zero"),
        ({"name": "copy", "snapshots": "on", "kind": "linked"}, "has no tree of its own"),
    ],
)
def test_what_cannot_be_is_told_in_the_panel(machine: Machine, values: dict[str, str], words: str) -> None:
    panel = ClonePanel(machine)
    do(panel, "clone", {**FULL, **values}, confirm=False)
    assert words in panel.page().text
    assert list(machine.lab.machines) == ["web"]


def test_boxes_that_cannot_be_ticked_say_why(lab: Lab) -> None:
    panel = ClonePanel(lab.create("web"))
    boxes = {box.attributes["name"]: box for box in panel.page().find("input") if box.attributes.get("type")}
    assert "disabled" in boxes["snapshots"].attributes
    assert "It has no snapshots." in panel.page().text
    assert "disabled" in boxes["instant"].attributes
    assert "No snapshot of it keeps memory." in panel.page().text


def test_running_machine_is_cloned_while_it_runs(guest: Machine) -> None:
    panel = ClonePanel(guest)
    do(panel, "clone", LINKED, name="live")
    assert guest.lab.lineage.original("live") == "web@clone-base-1"
    assert guest.state == "running"


def test_instant_clones_run_when_the_panel_is_done(guest: Machine) -> None:
    guest.snapshots.take("warm")
    panel = ClonePanel(guest)
    do(panel, "clone", LINKED, name="seat-{}", count="2", snapshot="warm", instant="on")
    assert [guest.lab.machines[name].state for name in ("seat-1", "seat-2")] == ["running", "running"]
    assert guest.lab.machines["seat-2"].run("hostname").stdout == "seat-2\n"
    # The first ones leave the memory behind a second time, for all to share; later ones find it there.
    estimate, measured = map(parse_size, costs(panel)["given by the host"])
    assert measured / 2 < estimate < measured * 2
    assert estimate > 16 * MIB
    do(panel, "clone", LINKED, name="late", snapshot="warm", instant="on")
    assert all(size < 4 * MIB for size in map(parse_size, costs(panel)["given by the host"]))


def test_flatten_lets_a_clone_stand_alone(machine: Machine) -> None:
    machine.clone("link", kind="linked", snapshot="clean")
    panel = ClonePanel(machine)
    do(panel, "flatten", subject="link")
    assert machine.lab.lineage.clones("web") == ()
    assert "No clone stands on it." in panel.page().text
    assert "not carried out yet" not in panel.page().text


def test_relink_takes_a_proven_file_and_refuses_another(machine: Machine, tmp_path: Path) -> None:
    machine.clone("link", kind="linked", snapshot="clean")
    lab = machine.lab
    base = Path(machine.snapshots["clean"].disks[0].path)
    other = tmp_path / "other.qcow2"
    other.write_bytes(b"other")
    panel = ClonePanel(lab, "link")
    do(panel, "relink", confirm=False, disk="link.vda", file=str(other))
    assert "Nothing below link.vda is lost" in panel.page().text
    moved = tmp_path / "moved.qcow2"
    shutil.move(base, moved)
    panel.refresh()
    do(panel, "relink", confirm=False, disk="link.vda", file=str(other))
    assert "Refused" in panel.page().text
    do(panel, "relink", disk="link.vda", file=str(moved))
    assert base.read_bytes() == moved.read_bytes()


def test_clone_made_elsewhere_appears(machine: Machine) -> None:
    panel = ClonePanel(machine)
    show(panel)
    machine.clone("other", kind="linked", snapshot="clean")
    eventually(lambda: "linked to web@clean" in drawn(panel))


def test_deleted_machine_is_told_of(machine: Machine) -> None:
    panel = ClonePanel(machine)
    machine.delete()
    panel.refresh()
    assert "no longer in the lab" in panel.page().text
    assert panel.line() == "web — gone"
