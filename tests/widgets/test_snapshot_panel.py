"""The panel of snapshots on a real machine: the tree, choosing, every act through its plan, excuses."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from labkit import Lab, widgets
from labkit.acts.act import BoundAct
from labkit.errors import NotFound
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.model.snapshot import SnapshotKind
from labkit.widgets import ClonePanel, DiskPanel, MachinePanel
from labkit.widgets.acting import Acting
from labkit.widgets.branches import render_branches
from labkit.widgets.live import LivePanel
from labkit.widgets.snapshot.panel import SnapshotPanel
from labkit.widgets.snapshot.parts import list_branches
from labkit.widgets.tree import Node
from tests.figures.test_snapshot_figures import bushy
from tests.widgets.test_machine_panel import actions, drawn, show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


@pytest.fixture
def machine(lab: Lab) -> Machine:
    """A machine that is off."""
    return lab.create("web")


def do(panel: SnapshotPanel, action: str, *, confirm: bool = True, **values: str) -> None:
    """Ask for a plan and carry it out."""
    press(panel, action, **values)
    eventually(lambda: panel.busy is None)
    if confirm:
        press(panel, "confirm")
        eventually(lambda: panel.busy is None, seconds=180)


def held(panel: SnapshotPanel, action: str) -> str | None:
    """Return why a form cannot be sent, or None."""
    form = next(form for form in panel.page().find("form") if form.attributes["data-action"] == action)
    button = next(form.find("button"))
    return button.attributes["title"] if "aria-disabled" in button.attributes else None


def rows(panel: SnapshotPanel) -> list[Node]:
    """Return the rows of the tree."""
    return [row for row in panel.page().find("li") if row.attributes.get("role") == "treeitem"]


def chosen(rows: list[Node]) -> list[str]:
    """Return which of them are selected."""
    return [row.attributes["data-subject"] for row in rows if row.attributes["aria-selected"] == "true"]


def test_twins_tell_the_tree_and_nothing_measured(machine: Machine) -> None:
    machine.snapshots.take("clean").take("later")
    first, second = show(SnapshotPanel(machine)), show(SnapshotPanel(machine.lab, "web"))
    assert first["text/plain"] == f"SnapshotPanel: web\n{machine.snapshots.tree.text()}"
    assert first["text/html"] == second["text/html"]
    for word in (machine.id, "button", "MiB", str(machine.lab.home)):
        assert word not in str(first["text/html"])


def callers(frame: FrameType) -> list[str]:
    """Return the functions of the panels' room on the way to a call, from the first on; itself if it is one of them."""
    room, found = str(Path(widgets.__file__).parent), []
    at: FrameType | None = frame
    while at is not None:
        if at.f_code.co_filename.startswith(room):
            found.append(at.f_code.co_qualname)
        at = at.f_back
    return found[::-1]


def test_a_click_goes_one_way_down_to_the_act_in_seven_calls(machine: Machine) -> None:
    machine.snapshots.take("clean")
    panel = SnapshotPanel(machine)
    show(panel)
    ways: dict[object, list[str]] = {}

    def watch(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code in (Acting.work.__code__, BoundAct.plan.__code__):
            ways.setdefault(frame.f_code, callers(frame))

    assert panel._view is not None
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        panel._view._receive(None, {"action": "restore", "values": {}}, None)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    eventually(lambda: panel.busy is None)
    assert "Plan: Restore clean" in panel.page().text
    assert [*ways[Acting.work.__code__], *ways[BoundAct.plan.__code__]] == [
        "View._receive",
        "Panel._receive",
        "SnapshotPanel._restore",
        "LivePanel._propose",
        "Acting.work",
        "Acting._run",
        "LivePanel._propose.<locals>.plan",
    ]


LOST = "This is lost for good"


def test_saving_the_current_state_first_is_planned_in_words_and_loses_nothing(machine: Machine) -> None:
    machine.snapshots.take("clean").take("later")
    panel = SnapshotPanel(machine)
    show(panel)
    press(panel, "show", subject="clean")
    do(panel, "restore", confirm=False)
    eventually(lambda: LOST in drawn(panel))  # without it what came since is lost, and that is said
    press(panel, "leave")
    do(panel, "restore", confirm=False, save="on", name="kept")
    eventually(lambda: "kept" in drawn(panel))
    text = drawn(panel)
    assert LOST not in text, "what is saved first is not lost"
    assert str(machine.lab.home) not in text
    press(panel, "confirm")
    eventually(lambda: panel.busy is None, seconds=180)
    assert (machine.snapshots.current, sorted(machine.snapshots)) == ("clean", ["clean", "kept", "later"])


def test_unknown_machine_is_refused(machine: Machine) -> None:
    with pytest.raises(NotFound):
        SnapshotPanel(machine.lab, "db")


def test_machine_without_snapshots_offers_to_take_one(machine: Machine) -> None:
    panel = SnapshotPanel(machine)
    assert held(panel, "take") is None
    assert "There is no snapshot yet" in panel.page().text
    do(panel, "take", name="clean")
    assert list(machine.snapshots) == ["clean"]
    assert "virsh snapshot-create-as" in panel.page().text.split("What really happened")[1]


def test_nothing_is_done_before_the_plan_is_confirmed(machine: Machine) -> None:
    panel = SnapshotPanel(machine)
    do(panel, "take", confirm=False, name="clean")
    assert "Plan: Take clean" in panel.page().text
    assert list(machine.snapshots) == []


def test_chosen_snapshot_shows_what_it_keeps(machine: Machine) -> None:
    machine.snapshots.take("clean", description="as it came").take("later")
    panel = SnapshotPanel(machine)
    show(panel)
    assert "after clean" in panel.page().text
    press(panel, "show", subject="clean")
    for words in ("as it came", "configuration and disks; the machine was off", "web.vda.0.qcow2", "deleting it frees"):
        assert words in panel.page().text
    assert [row.attributes["data-subject"] for row in rows(panel) if row.attributes["aria-selected"] == "true"] == [
        "clean"
    ]


def test_you_are_here_can_be_chosen_and_tells_what_is_written_now(machine: Machine) -> None:
    machine.snapshots.take("clean")
    panel = SnapshotPanel(machine)
    here = next(row for row in rows(panel) if row.attributes.get("aria-current") == "true")
    assert here.text == "you are here off"
    press(panel, "show", subject=here.attributes["data-subject"])
    assert "active images web.vda.1.qcow2" in panel.page().text
    assert "restore" not in [form.attributes["data-action"] for form in panel.page().find("form")]


def test_restore_saves_the_current_state_first_where_that_is_ticked(machine: Machine) -> None:
    machine.snapshots.take("clean")
    panel = SnapshotPanel(machine)
    boxes = [box for box in panel.page().find("input") if box.attributes.get("type") == "checkbox"]
    assert [(box.attributes["name"], "checked" in box.attributes) for box in boxes] == [("save", True)]
    do(panel, "restore", save="on", name="kept")
    assert list(machine.snapshots) == ["clean", "kept"]
    assert machine.snapshots.current == "clean"


def test_restore_without_saving_says_how_much_is_discarded(machine: Machine) -> None:
    machine.snapshots.take("clean")
    panel = SnapshotPanel(machine)
    do(panel, "restore", confirm=False, name="kept")
    assert "What was written since clean is discarded" in panel.page().text
    assert "This is lost for good" in panel.page().text
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    assert list(machine.snapshots) == ["clean"]


def test_running_snapshot_may_be_left_saved(guest: Machine) -> None:
    panel = SnapshotPanel(guest)
    do(panel, "take", name="warm")
    assert guest.snapshots["warm"].kind is SnapshotKind.RUNNING
    do(panel, "restore", name="x")
    assert guest.state == MachineState.SAVED.value
    do(panel, "restore", name="x", run="on")
    assert guest.state == MachineState.RUNNING.value


def test_name_and_description_change(machine: Machine) -> None:
    machine.snapshots.take("clean")
    panel = SnapshotPanel(machine)
    do(panel, "describe", description="as it came")
    do(panel, "rename", name="fresh")
    assert machine.snapshots["fresh"].description == "as it came"
    assert "as it came" in panel.page().text


def test_delete_of_one_and_of_a_branch(machine: Machine) -> None:
    machine.snapshots.take("a").take("b").take("c")
    panel = SnapshotPanel(machine)
    assert actions(panel)["delete-branch"] == "Nothing comes after c."
    do(panel, "delete")
    assert list(machine.snapshots) == ["a", "b"]
    press(panel, "show", subject="a")
    do(panel, "delete-branch")
    assert list(machine.snapshots) == []


def test_what_goes_with_a_branch_is_named_before_it_is_confirmed(machine: Machine) -> None:
    machine.snapshots.take("a").take("b")
    panel = SnapshotPanel(machine)
    press(panel, "show", subject="a")
    do(panel, "delete-branch", confirm=False)
    lost = panel.page().text.split("This is lost for good:")[1]
    assert "the snapshot a of web the snapshot b of web" in lost


def test_where_virtualbox_differs_is_said(machine: Machine) -> None:
    machine.snapshots.take("a").take("b")
    panel = SnapshotPanel(machine)
    assert "VirtualBox 7.0 restores only a machine that is off" in panel.page().text
    press(panel, "show", subject="a")
    assert "VirtualBox 7.0 refuses" not in panel.page().text
    machine.snapshots.restore("a").take("c")
    panel.refresh()
    assert "VirtualBox 7.0 refuses" in panel.page().text


def test_saved_machine_says_why_nothing_can_be_taken(guest: Machine) -> None:
    guest.save()
    excuse = held(SnapshotPanel(guest), "take")
    assert excuse is not None
    assert "web is saved" in excuse


def test_name_that_cannot_be_used_is_refused_in_the_panel(machine: Machine) -> None:
    panel = SnapshotPanel(machine)
    do(panel, "take", confirm=False, name="a/b")
    assert "✗ Error" in panel.page().text


def test_snapshot_taken_elsewhere_appears(machine: Machine) -> None:
    panel = SnapshotPanel(machine)
    show(panel)
    machine.snapshots.take("other")
    eventually(lambda: "'data-subject': 'other'" in drawn(panel))


def test_deleted_machine_is_told_of(machine: Machine) -> None:
    panel = SnapshotPanel(machine)
    machine.delete()
    panel.refresh()
    assert "no longer in the lab" in panel.page().text
    assert panel.line() == "web — gone"


def test_rows_are_those_of_the_text_and_tell_screen_readers_how_deep_they_lie(machine: Machine) -> None:
    tree = bushy(60)
    branches = list_branches(tree, machine.facts)
    said = [line.split("─ ")[-1].split(" (")[0] for line in tree.text().splitlines()]
    assert ["* you are here" if branch.is_here else branch.name for branch in branches] == said
    shown = [
        row for row in render_branches(branches, "s3", label="x").find("li") if row.attributes["role"] == "treeitem"
    ]
    for row in shown:
        name = row.attributes["data-subject"]
        assert int(row.attributes["aria-level"]) == len(tree.path(name) if name else (*tree.path(tree.current), name))
    assert chosen(shown) == ["s3"]


def test_stretch_tells_which_images_it_is(machine: Machine) -> None:
    machine.snapshots.take("clean").take("later")
    picture = next(SnapshotPanel(machine).page().find("svg"))
    assert [title.text for title in picture.find("title")] == ["web.vda.1.qcow2", "web.vda.2.qcow2"]


def test_an_image_that_another_program_has_changed_can_be_taken_as_it_is_without_typing_a_call(
    machine: Machine,
) -> None:
    machine.snapshots.take("clean")
    image = Path(machine.snapshots["clean"].disks[0].path)
    image.chmod(0o600)
    with image.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    panels: list[LivePanel] = [SnapshotPanel(machine), DiskPanel(machine.lab, "web.vda")]
    for panel in panels:
        panel.refresh()
        assert {"accept-changes", "copy-as-is"} <= buttons(panel), type(panel)
    starting, cloning = MachinePanel(machine), ClonePanel(machine)
    press(starting, "start")
    press(cloning, "clone", name="copy", kind="linked", snapshot="clean", identity="new", count="1")
    for refused in (starting, cloning):
        eventually(lambda panel=refused: panel.busy is None)  # type: ignore[misc]
        assert {"accept-changes", "copy-as-is"} <= buttons(refused), refused.page().text
    press(panels[1], "copy-as-is", subject="web.vda")
    confirm(panels[1])
    assert "web.vda-2" in machine.lab.disks
    press(starting, "accept-changes", subject="web/web.vda")
    confirm(starting)
    assert machine.snapshots.why_not_start() is None
    for panel in panels:
        panel.refresh()
        assert not {"accept-changes", "copy-as-is"} & buttons(panel)


def buttons(panel: LivePanel) -> set[str]:
    """Return what the buttons of a panel ask for."""
    return {str(button.attributes.get("data-action")) for button in panel.page().find("button")}


def confirm(panel: LivePanel) -> None:
    """Say yes to the plan that a panel shows, and wait until it is carried out."""
    eventually(lambda: panel.busy is None)
    press(panel, "confirm")
    eventually(lambda: panel.busy is None, seconds=180)
