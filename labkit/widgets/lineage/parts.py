"""What `LineagePanel` shows: the lab as a tree to choose from, one node with its dependants, and the ways out.

Each is a function of values. Knows: lineages, plans. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.language import _
from labkit.model.lineage import Lineage, LineageNode, NodeKind
from labkit.model.lineage_text import boot_line, list_boot_lines, point_word
from labkit.model.points import Point, find_points, plain_label, points_graph, span
from labkit.model.snapshot import SnapshotKind
from labkit.model.state import LabState
from labkit.model.tree_layout import Place, arrange
from labkit.plans import disk as disk_plans
from labkit.plans import flatten as flatten_plans
from labkit.plans import machine as machine_plans
from labkit.plans import snapshot as snapshot_plans
from labkit.plans.refusal import Refusal
from labkit.units import format_size
from labkit.widgets import parts, tree
from labkit.widgets.branches import Branch, render_branches
from labkit.widgets.controls import in_a_panel
from labkit.widgets.parts import Button
from labkit.widgets.tree import Child, tag

MOST_BUTTONS = 3
"""Up to this many clones get a button each; from more, one is chosen in a list."""


def render_tree(
    lineage: Lineage, selected: LineageNode | None, marks: Mapping[LineageNode, str], *, grouped: bool
) -> tree.Node:
    """Return the lineage to choose from, and its key; those that need the selected node are marked by a word."""
    points = find_points(lineage, marks=marks, grouped=grouped)
    if not points:
        return tag("p", _("There is nothing in this lab yet."))
    places = arrange(points_graph(points))
    rows = [_row(lineage, point, places[point.node], _note(marks, point.node, selected)) for point in points]
    chosen = _key(selected) if selected is not None else None
    for files, machines in list_boot_lines(lineage):
        key = _key(selected if selected is not None and selected in files else files[0])
        note = _note(marks, next((file for file in files if file in marks), files[0]), selected)
        rows.append(Branch(key=key, name=boot_line(lineage, files, machines), note=note, mark="boot"))
    hint = None if selected else tag("p", _("Select something to see who depends on it."))
    return tag("div", render_branches(rows, chosen, label=_("Lineage")), _render_key(rows), hint)


def _key(node: LineageNode) -> str:
    return node.name


def _note(marks: Mapping[LineageNode, str], node: LineageNode, selected: LineageNode | None) -> str:
    return f"← {marks[node]}" if node in marks and node != selected else ""


def _row(lineage: Lineage, point: Point, place: Place, note: str) -> Branch:
    images = lineage.state.images
    size = sum(images[path].allocated for path in point.images if path in images)
    word = point_word(lineage, point)
    is_machine = point.node.kind is NodeKind.MACHINE
    return Branch(
        key=_key(point.node),
        below=_key(point.below) if point.below is not None else None,
        lane=place[1],
        name=point.name,
        words=f"{word}, {format_size(size)}" if point.images else word,
        note=note,
        mark=point.kind or {NodeKind.MACHINE: "here", NodeKind.DISK: "disk"}.get(point.node.kind, "layer"),
        line="linked" if point.is_linked else "active" if is_machine else "other",
        stretch=", ".join(path.rpartition("/")[2] for stretch in point.stretches for path in stretch),
    )


def _render_key(rows: Iterable[Branch]) -> tree.Node:
    """Return the key to the marks and lines that there are."""
    marks, lines = {row.mark for row in rows}, {row.line for row in rows}
    words = [text for kinds, text in _list_key() if marks & kinds]
    linked = [_("┄ linked to another machine's images")] if "linked" in lines else []
    return tag("p", " · ".join([*words, *linked]), class_="labkit-quiet")


def _list_key() -> list[tuple[frozenset[str], str]]:
    """Return what each mark of a lineage means, in the order it is told."""
    return [
        (frozenset({"here"}), _("★ where a machine goes on")),
        (frozenset(SnapshotKind), _("○ ▶ ❚❚ ◇ a snapshot")),
        (frozenset({"disk"}), _("◌ a free disk")),
        (frozenset({"layer"}), _("• an image without a name of its own")),
        (frozenset({"boot"}), _("✚ files that machines start from")),
    ]


def render_node(lineage: Lineage, node: LineageNode, needing: tuple[LineageNode, ...]) -> tree.Node:
    """Return what a node is, who depends on it, and how many bytes only it needs."""
    images = lineage.state.images
    point = next((each for each in find_points(lineage, grouped=False) if each.node == node), None)
    below = point.below.label if point and point.below else None
    own = point.images if point else ()
    rows: list[tuple[str, Child]] = [
        (_("stands on"), below or (_("nothing: it stands alone") if point and not point.lost else None)),
        (_("its images"), ", ".join(_image_words(lineage.state, path) for path in own) or None),
        (_("takes"), format_size(sum(images[path].allocated for path in own if path in images)) if own else None),
        (_("depend on it"), span(needing) or _("nobody")),
        (_("only it needs"), format_size(lineage.unique_cost(node)) if node.kind in _COSTS else None),
    ]
    return tag("div", tag("h4", f"{plain_label(node)} — {_describe(lineage, point)}"), parts.table(rows))


def _describe(lineage: Lineage, point: Point | None) -> str:
    if point is None:
        return _("a file that machines start from")
    word = point_word(lineage, point)
    return _("a snapshot: {kind}").format(kind=word) if point.kind is not None else word


_COSTS = (NodeKind.MACHINE, NodeKind.SNAPSHOT, NodeKind.DISK, NodeKind.IMAGE)


def _image_words(state: LabState, path: str) -> str:
    name = path.rpartition("/")[2]
    if path not in state.images:
        return _("{file} (gone)").format(file=name)
    return _("{file} (frozen)").format(file=name) if state.images[path].frozen else name


def render_ways_out(refusal: Refusal | None) -> Child:
    """Return why the node cannot be deleted now, and what to do first; nothing if it can."""
    if refusal is None:
        return None
    return tag(
        "div",
        tag("p", refusal.why),
        *[tag("p", "→ ", in_a_panel(way)) for way in refusal.ways_out],
        class_="labkit-note",
        role="status",
    )


def why_not_delete(state: LabState, free_bytes: int, node: LineageNode) -> Refusal | None:
    """Return the plan's refusal to delete a node, or None."""
    match node.kind:
        case NodeKind.MACHINE:
            return machine_plans.plan_delete(state, node.name).refusal
        case NodeKind.SNAPSHOT:
            survey = snapshot_plans.SnapshotSurvey(free_bytes=free_bytes)
            return snapshot_plans.plan_delete(state, survey, node.machine or "", node.snapshot or "").refusal
        case NodeKind.DISK:
            return disk_plans.plan_delete(state, node.name).refusal
        case _:
            return Refusal(why=_("Files come and go with what needs them."))


def list_buttons(lineage: Lineage, free_bytes: int, node: LineageNode, *, busy: str | None) -> list[Button]:
    """Return the buttons of acts on the node itself."""
    refusal = why_not_delete(lineage.state, free_bytes, node)
    return [
        Button(
            label=_("Delete…"),
            action="delete",
            kind="danger",
            excuse=_("The reason stands above.") if refusal else None,
            busy=busy,
            tip=_("Show what would be deleted; nothing is lost before you confirm."),
        )
    ]


def list_flattening(lineage: Lineage, free_bytes: int, machines: tuple[str, ...], *, busy: str | None) -> list[Button]:
    """Return a button for each linked clone that lets it stand alone; see `render_flattening` for many."""
    survey = flatten_plans.FlattenSurvey(free_bytes=free_bytes)
    return [
        Button(
            label=_("Flatten {name}…").format(name=name),
            action="flatten",
            subject=name,
            excuse=flatten_plans.plan_flatten(lineage.state, survey, name).excuse,
            busy=busy,
            tip=_what_flatten_does(),
        )
        for name in (machines if len(machines) <= MOST_BUTTONS else ())
    ]


def render_flattening(machines: tuple[str, ...], *, busy: str | None) -> tree.Node | None:
    """Return the form that lets one of many linked clones stand alone; see `list_flattening` for few."""
    if len(machines) <= MOST_BUTTONS:
        return None
    choice = parts.choices(_("Clone"), "subject", [(name, name) for name in machines], class_="labkit-wide")
    return parts.form("flatten", _("Flatten…"), choice, busy=busy, tip=_what_flatten_does())


def _what_flatten_does() -> str:
    return _("What it still reads from its original moves into its own images.")


def clones_of(lineage: Lineage, node: LineageNode) -> tuple[str, ...]:
    """The node's machine if it is a linked clone, and the clones that stand directly on the node."""
    if node.kind is NodeKind.SNAPSHOT:
        return lineage.direct_clones(node.machine or "", node.snapshot or "")
    if node.kind is not NodeKind.MACHINE:
        return ()
    itself = (node.name,) if lineage.original(node.name) else ()
    points = lineage.state.snapshots.get(node.name, ())
    direct = (clone for point in points for clone in lineage.direct_clones(node.name, point))
    return tuple(dict.fromkeys((*itself, *direct)))
