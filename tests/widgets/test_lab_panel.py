"""The panel of a whole lab: few machines and many, switches, what happened, acts under way."""

from __future__ import annotations

import threading

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.model.machine import MachineState
from labkit.units import MIB
from labkit.widgets import LabPanel, SnapshotPanel
from labkit.widgets.lab.rows import ROOMY, sizes_of
from labkit.widgets.tree import Node, to_json
from tests.widgets.test_machine_panel import drawn, show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


def small(lab: Lab, name: str) -> str:
    """Create a machine that is quick to switch; returns its id."""
    return lab.create(name, image="sector", memory="16 MiB").id


def rows(panel: LabPanel) -> dict[str, Node]:
    """Return the row of each machine, by its words' first one."""
    lines = [node for node in panel.page().find("li") if "data-words" in node.attributes]
    return {line.attributes["data-words"].split()[0]: line for line in lines}


def buttons(row: Node) -> dict[str, str | None]:
    """Return a row's buttons, each with its excuse."""
    return {
        each.attributes["data-action"]: each.attributes["title"] if "aria-disabled" in each.attributes else None
        for each in row.find("button")
    }


def test_twins_tell_the_machines_and_nothing_measured(lab: Lab) -> None:
    small(lab, "web")
    first, second = show(LabPanel(lab)), show(LabPanel(lab))
    assert first["text/plain"] == f"LabPanel: {lab.name}\n  web — off, 16 MiB, 1 vCPU, sector"
    assert first["text/html"] == second["text/html"]
    html = str(first["text/html"])
    for word in ("button", "svg", str(lab.home), "left"):
        assert word not in html


def test_empty_lab_says_so(lab: Lab) -> None:
    page = LabPanel(lab).page()
    assert "There is nothing in this lab yet." in page.text
    create = next(fold for fold in page.find("details") if fold.attributes["key"] == "create")
    assert "open" in create.attributes


def test_few_machines_show_every_switch_with_its_excuse_and_many_the_next_one(lab: Lab) -> None:
    small(lab, "m0")
    panel = LabPanel(lab)
    assert buttons(rows(panel)["m0"]) == {
        "open": None,
        "start": None,
        **dict.fromkeys(("stop", "pause", "save", "kill"), "m0 is off."),
    }
    press(panel, "open", subject=lab.machines["m0"].id)
    assert "delete" in buttons(rows(panel)["m0"])
    press(panel, "open", subject=lab.machines["m0"].id)
    for number in range(ROOMY):
        small(lab, f"m{number + 1}")
    panel.refresh()
    assert set(buttons(rows(panel)["m0"])) == {"open", "start"}
    assert "data-filter" in next(panel.page().find("input")).attributes
    press(panel, "open", subject=lab.machines["m0"].id)
    assert set(buttons(rows(panel)["m0"])) == {"open", "start", "stop", "pause", "save", "kill", "delete"}
    assert "m0 is off." in rows(panel)["m0"].text
    lab.machines["m0"].start()
    panel.refresh()
    assert buttons(rows(panel)["m0"])["delete"] == "m0 is running."


def test_machine_is_created_and_deleted_with_what_is_lost_named_before(lab: Lab) -> None:
    panel = LabPanel(lab)
    show(panel)
    press(panel, "create", name="web", image="sector", memory="16 MiB", vcpus="1")
    eventually(lambda: "Plan: Create web" in panel.page().text)
    assert "web" not in lab.machines
    press(panel, "confirm")
    eventually(lambda: "✓ Create web: done." in panel.page().text and "web" in rows(panel))
    press(panel, "delete", subject=lab.machines["web"].id)
    eventually(lambda: "the machine web" in panel.page().text)
    assert "disks/web.vda.0.raw" in panel.page().text
    press(panel, "confirm")
    eventually(lambda: "✓ Delete web: done." in panel.page().text)
    assert not lab.machines


def test_switch_that_takes_long_is_cancelled_in_its_row(lab: Lab) -> None:
    deaf = small(lab, "deaf")  # no power button reaches its 512 bytes
    lab.machines["deaf"].start()
    panel = LabPanel(lab)
    show(panel)
    press(panel, "stop", subject=deaf)
    eventually(lambda: "cancel" in buttons(rows(panel)["deaf"]))
    press(panel, "cancel", subject=deaf)
    eventually(lambda: "Shutting deaf down: cancelled." in panel.page().text)
    eventually(lambda: "cancel" not in buttons(rows(panel)["deaf"]))
    assert lab.machines["deaf"].state is MachineState.RUNNING


@pytest.mark.parametrize(
    ("field", "words"),
    [("name", "'a b'"), ("memory", "'a b'"), ("vcpus", "'a b' is not a number of vCPUs."), ("image", "'a b'")],
)
def test_what_cannot_be_created_is_one_sentence(lab: Lab, field: str, words: str) -> None:
    panel = LabPanel(lab)
    press(panel, "create", **{"name": "web", "image": "sector", "memory": "16 MiB", "vcpus": "1", field: "a b"})
    eventually(lambda: words in panel.page().text and panel.busy is None)
    assert "Traceback" not in panel.page().text


def test_lineage_is_a_tree_to_choose_from_once_it_is_unfolded(lab: Lab) -> None:
    small(lab, "web")
    lab.machines["web"].snapshots.take("clean")
    lab.machines["web"].clone("link", kind="linked", snapshot="clean")
    panel = LabPanel(lab)
    assert not list(chosen_from(panel))
    press(panel, "unfold", subject="lineage")
    assert [row.attributes["data-subject"] for row in chosen_from(panel)] == ["web@clean", "web", "link"]
    press(panel, "show", subject="web@clean")
    assert "link linked clone" in panel.page().text
    assert "← needs it" in panel.page().text


def chosen_from(panel: LabPanel) -> list[Node]:
    """Return the rows of the lineage."""
    return [node for node in panel.page().find("li") if node.attributes.get("role") == "treeitem"]


def test_switches_of_several_machines_go_on_at_the_same_time(lab: Lab) -> None:
    ids = [small(lab, name) for name in ("a", "b")]
    panel = LabPanel(lab)
    show(panel)
    for machine_id in ids:
        press(panel, "start", subject=machine_id)
    eventually(lambda: all(vm.state is MachineState.RUNNING for vm in lab.machines.values()))
    eventually(lambda: "2 running" in drawn(panel) and buttons(rows(panel)["a"])["pause"] is None)
    press(panel, "pause", subject=ids[0])
    eventually(lambda: "1 paused" in drawn(panel))
    eventually(lambda: f"virsh suspend {lab.machines['a'].facts.spec.domain_name}" in panel.page().text)
    eventually(lambda: not panel._switched)


def test_error_of_a_switch_is_shown_and_the_row_is_free_again(lab: Lab) -> None:
    machine_id = small(lab, "web")
    panel = LabPanel(lab)
    press(panel, "pause", subject=machine_id)
    eventually(lambda: "✗ Error" in panel.page().text)
    eventually(lambda: buttons(rows(panel)["web"])["start"] is None)


def test_what_happened_is_told_whoever_did_it(lab: Lab) -> None:
    machine_id = small(lab, "web")
    panel = LabPanel(lab)
    show(panel)
    press(panel, "open", subject=machine_id)
    machine = lab.machines["web"].start()
    machine.pause().resume().kill()
    machine.snapshots.take("clean")
    machine.clone("link", kind="linked", snapshot="clean")
    told = ("was paused — paused for", "its power was cut", "snapshot clean taken", "cloned: link")
    eventually(lambda: all(words in rows(panel)["web"].text for words in told))
    lab.machines["link"].delete()
    eventually(lambda: "link: deleted" in panel.page().text)


def test_use_is_shown_while_a_machine_is_on(lab: Lab) -> None:
    small(lab, "web")
    panel = LabPanel(lab)
    show(panel)
    assert not list(rows(panel)["web"].find("polyline"))
    lab.machines["web"].start()
    eventually(lambda: len(list(rows(panel)["web"].find("polyline"))) == 3)


def test_act_under_way_is_shown_to_others_with_its_step(lab: Lab) -> None:
    small(lab, "web")
    panel = LabPanel(lab)
    reached, go_on = threading.Event(), threading.Event()

    def wait(_progress: Progress) -> None:
        reached.set()
        go_on.wait(120)

    plan = lab.machines["web"].clone.plan("copy", kind="full")
    act = threading.Thread(target=lambda: lab.carry_out(plan, on_progress=wait))
    act.start()
    try:
        assert reached.wait(120)
        panel.refresh()
        assert f"clone web → copy: step 1 of {len(plan.steps)}" in panel.page().text
        assert panel.page().text.count("under way") == 1
        near = SnapshotPanel(lab, "web").page()
        assert near.text.count("Another act is at work on web.") == 1
        sent = [button for button in near.find("button") if button.attributes["type"] == "submit"]
        assert [button.attributes["aria-disabled"] for button in sent] == ["true"]
    finally:
        go_on.set()
        act.join(120)
    panel.refresh()
    assert "under way" not in panel.page().text
    assert "copy" in rows(panel)


def test_row_of_many_is_small(lab: Lab) -> None:
    for number in range(ROOMY + 1):
        small(lab, f"m{number}")
    assert len(str(to_json(rows(LabPanel(lab))["m0"]))) < 2000


def test_what_snapshots_keep_counts_as_the_machines_own_and_a_base_as_its_originals(lab: Lab) -> None:
    """A snapshot freezes what there was: the machine's disks do not become smaller by it."""
    small(lab, "web")
    web = lab.machines["web"]
    before = sizes_of(lab.state)["web"]
    assert before >= MIB
    web.snapshots.take("one")
    assert sizes_of(lab.state)["web"] > before
    web.clone("link", kind="linked", snapshot="one")
    assert sizes_of(lab.state)["web"] > before
    assert 0 < sizes_of(lab.state)["link"] < MIB
    assert sum(sizes_of(lab.state).values()) == sum(image.allocated for image in lab.state.images.values())
