"""The panel of the lineage on a real lab: the tree, who depends on what, the ways out, acts through their plans."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.errors import NotFound
from labkit.model.lineage_text import lineage_text
from labkit.widgets.branches import MARKS
from labkit.widgets.lineage.panel import LineagePanel
from labkit.widgets.lineage.parts import _list_key
from tests.widgets.test_machine_panel import drawn, show
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


@pytest.fixture
def family(lab: Lab) -> Lab:
    """A machine with a snapshot, a full clone and five linked ones; all off."""
    vm = lab.create("web")
    vm.snapshots.take("clean")
    vm.clone("copy")
    vm.clone("seat-{:02}", kind="linked", snapshot="clean", count=5)
    return lab


def do(panel: LineagePanel, action: str, *, confirm: bool = True, **values: str) -> None:
    """Ask for a plan and carry it out."""
    press(panel, action, **values)
    eventually(lambda: panel.busy is None)
    if confirm:
        press(panel, "confirm")
        eventually(lambda: panel.busy is None, seconds=180)


def rows(panel: LineagePanel) -> list[str]:
    """The rows of the tree."""
    return [row.text for row in panel.page().find("li")]


def excuses(panel: LineagePanel) -> dict[str, str | None]:
    """The buttons by label, each with the reason against it."""
    return {
        button.text: button.attributes["title"] if "aria-disabled" in button.attributes else None
        for button in panel.page().find("button")
    }


def test_twins_are_the_tree_and_nothing_measured(family: Lab) -> None:
    first, second = show(LineagePanel(family)), show(LineagePanel(family))
    assert first["text/plain"] == f"LineagePanel: \n{lineage_text(family.lineage)}"
    assert first["text/html"] == second["text/html"]
    for word in ("MiB", "button", str(family.home)):
        assert word not in str(first["text/html"])


def test_key_tells_every_mark_that_is_there_and_no_other(family: Lab) -> None:
    def key() -> list[str]:
        words = next(line.text for line in LineagePanel(family).page().find("p") if "★" in line.text)
        return [each[:1] for each in words.split(" · ")]

    marks = {mark for kinds, _words in _list_key() for mark in kinds}
    assert marks == set(MARKS) - {"attached", "missing", "there"}  # which lists of disks and goals alone have
    assert key() == ["★", "○", "✚", "┄"]
    family.disks.create("data", capacity="1 MiB")
    assert key() == ["★", "○", "◌", "✚", "┄"]
    web = family.machines["web"].snapshots
    for name in ("both", "one", "two"):  # an image that two go on from stays when its snapshot goes
        web.take(name)
        web.restore("both")
    web.delete("both")
    assert "•" in key()


def test_node_named_at_first_is_marked_with_who_needs_it_also_in_the_twins(family: Lab) -> None:
    panel = LineagePanel(family, "web@clean")
    assert "web@clean (off) ← selected" in panel.line()
    assert "seat-01 … seat-05 (5 linked clones) ← needs it" in panel.line()
    with pytest.raises(NotFound):
        LineagePanel(family, "nobody")


def test_empty_lab_says_so(lab: Lab) -> None:
    assert "There is nothing in this lab yet." in LineagePanel(lab).page().text
    assert repr(LineagePanel(lab)) == "LineagePanel: \n(nothing in this lab)"


def test_selecting_shows_who_depends_on_it_what_only_it_needs_and_the_ways_out(family: Lab) -> None:
    panel = LineagePanel(family)
    assert "Select something" in panel.page().text
    press(panel, "show", subject="web@clean")
    text = panel.page().text
    for words in (
        "depend on it seat-01 … seat-05",
        "only it needs 0 B",
        "web.vda.0.qcow2 (frozen)",
        "stand alone: “Flatten…”",
    ):
        assert words in text
    assert any(row.endswith("← needs it") for row in rows(panel))
    assert excuses(panel)["Delete…"] == "The reason stands above."
    press(panel, "show", subject="copy")
    assert "depend on it nobody" in panel.page().text
    assert excuses(panel)["Delete…"] is None


def test_equal_clones_are_one_row_until_each_is_asked_for(family: Lab) -> None:
    panel = LineagePanel(family)
    assert len([row for row in rows(panel) if "seat" in row]) == 1
    press(panel, "group")
    assert len([row for row in rows(panel) if "seat" in row]) == 5


def test_flattened_clone_stands_alone_and_then_nobody_needs_the_snapshot(family: Lab) -> None:
    for name in ("seat-02", "seat-03", "seat-04", "seat-05"):
        family.machines[name].delete()
    panel = LineagePanel(family, "web@clean")
    do(panel, "flatten", subject="seat-01")
    assert family.lineage.original("seat-01") is None
    assert "depend on it nobody" in panel.page().text
    assert "What really happened" in panel.page().text
    do(panel, "delete")
    assert list(family.machines["web"].snapshots) == []


def test_boot_files_are_needed_by_all_and_cannot_be_deleted(family: Lab) -> None:
    panel = LineagePanel(family)
    kernel = family.machines["web"].facts.spec.boot.kernel
    assert kernel is not None
    press(panel, "show", subject=kernel)
    assert "depend on it copy, seat-01 … seat-05, web" in panel.page().text
    assert "Files come and go" in panel.page().text
    assert excuses(panel)["Delete…"] is not None


def test_clone_made_elsewhere_appears(family: Lab) -> None:
    panel = LineagePanel(family)
    show(panel)
    family.machines["copy"].clone("other")
    eventually(lambda: "other machine" in drawn(panel))


def test_what_was_selected_may_go(family: Lab) -> None:
    panel = LineagePanel(family, "copy")
    family.machines["copy"].delete()
    panel.refresh()
    assert "Select something" in panel.page().text
