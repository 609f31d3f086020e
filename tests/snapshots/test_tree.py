"""The tree as a value and as text."""

from __future__ import annotations

from labkit.model.snapshot import SnapshotTree, sort_nodes
from tests.snapshots.world import disk, machine, snapshot

SPEC = machine(disk("web.vda")).spec


def _tree(current: str | None, **parents: str | None) -> SnapshotTree:
    nodes = {name: snapshot(name, SPEC, parent) for name, parent in parents.items()}
    return SnapshotTree(nodes=sort_nodes(nodes), current=current)


def test_the_tree_is_drawn_as_tree_draws_and_says_where_you_are() -> None:
    tree = _tree("c", a=None, b="a", c="b", d="a", z=None)
    assert tree.text().splitlines() == [
        "a (off)",
        "├─ b (off)",
        "│  └─ c (off)",
        "│     └─ * you are here",
        "└─ d (off)",
        "z (off)",
    ]


def test_without_snapshots_it_says_so() -> None:
    assert SnapshotTree().text() == "(no snapshots)"


def test_after_the_current_root_is_deleted_you_are_beside_the_others() -> None:
    assert _tree(None, a=None).text().splitlines() == ["a (off)", "* you are here"]


def test_lineage_is_asked_of_the_tree() -> None:
    tree = _tree("c", a=None, b="a", c="b", d="a")
    assert tree.children("a") == ("b", "d")
    assert tree.branch("b") == ("b", "c")
    assert tree.path("c") == ("a", "b", "c")
    assert tree.path(None) == ()


def test_parents_come_before_children_even_if_the_clock_went_back() -> None:
    assert list(_tree(None, a="z", z=None)) == ["z", "a"]
