"""What `SnapshotPanel` shows: the tree to choose from, the facts of one snapshot, buttons and forms with excuses.

Each is a function of values. Knows: trees, plans. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from labkit.language import _, ngettext
from labkit.model.machine import DiskSpec, MachineFacts
from labkit.model.snapshot import SnapshotFacts, SnapshotKind, SnapshotTree, snapshot_word
from labkit.model.state import LabState
from labkit.model.tree_layout import HERE, arrange, tree_graph
from labkit.model.words import state_word
from labkit.plans import snapshot as plans
from labkit.plans.naming import numbered
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.branches import Branch, render_branches
from labkit.widgets.parts import Button
from labkit.widgets.tree import Child, Node, tag


def count_words(count: int) -> str:
    """Return how many snapshots there are."""
    return ngettext("{count} snapshot", "{count} snapshots", count).format(count=count)


def render_tree(tree: SnapshotTree, facts: MachineFacts, shown: str | None) -> Node:
    """Return the tree to choose from, including "you are here"."""
    if not tree.nodes:
        return tag("p", _("There is no snapshot yet: take one."))
    label = _("Snapshots of {name}").format(name=facts.name)
    return render_branches(list_branches(tree, facts), shown, label=label)


def list_branches(tree: SnapshotTree, facts: MachineFacts) -> list[Branch]:
    """Return the rows of the tree, placed as in its drawing."""
    graph = tree_graph(tree)
    way = {*tree.path(tree.current)}
    found = []
    for name, (_row, lane) in arrange(graph).items():
        below = next(iter(graph.predecessors(name)), None)
        if name == HERE:
            found.append(
                Branch(
                    key=HERE, below=below, lane=lane, name=_("you are here"), words=state_word(facts.state),
                    mark="here", line="active", stretch=_files(facts.spec.disks), is_here=True,
                )
            )  # fmt: skip
            continue
        node = tree[name]
        found.append(
            Branch(
                key=name, below=below, lane=lane, name=name, words=snapshot_word(node.kind), mark=node.kind,
                line="way" if name in way else "other", stretch=_files(node.disks),
            )
        )  # fmt: skip
    return found


def _files(disks: Iterable[DiskSpec]) -> str:
    return ", ".join(disk.path.rpartition("/")[2] for disk in disks)


def render_here(tree: SnapshotTree, facts: MachineFacts) -> Node:
    """Return what the current state is: where it began, and which images are being written to."""
    rows: list[tuple[str, Child]] = [
        (_("state"), state_word(facts.state)),
        (_("after"), tree.current or _("nothing: it is a root")),
        (_("memory"), format_size(facts.spec.memory)),
        (_("vCPUs"), str(facts.spec.vcpus)),
        (_("active images"), _files(facts.spec.disks) or None),
    ]
    return tag(
        "div",
        tag("h4", _("You are here")),
        parts.table(rows),
        _quiet(_("What is written now is kept by the next snapshot that is taken.")),
    )


def render_facts(state: LabState, survey: plans.SnapshotSurvey, facts: MachineFacts, node: SnapshotFacts) -> Node:
    """Return what a snapshot is, and what deleting it would free."""
    kept = {
        SnapshotKind.OFF: _("configuration and disks; the machine was off"),
        SnapshotKind.RUNNING: _("configuration, disks and running state"),
        SnapshotKind.PAUSED: _("configuration, disks and the paused state"),
        SnapshotKind.DISK_ONLY: _("configuration and disks, as after a power cut"),
    }
    spec = node.spec
    tree = state.snapshots[facts.name]
    cost = plans.plan_delete(state, survey, facts.name, node.name).bytes_freed
    rows: list[tuple[str, Child]] = [
        (_("keeps"), kept[node.kind]),
        (_("description"), node.description or None),
        (_("taken"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(node.created))),
        (_("after"), node.parent or _("nothing: it is a root")),
        (_("followed by"), ", ".join(tree.children(node.name)) or None),
        (_("last line on the console"), tag("code", node.said) if node.said else None),
        (_("memory"), format_size(spec.memory)),
        (_("vCPUs"), str(spec.vcpus)),
        (_("frozen images"), _files(node.disks)),
        (_("deleting it frees"), format_size(cost)),
    ]
    return tag(
        "div",
        tag("h4", node.name),
        parts.table(rows),
        tag("p", node.excuse, class_="labkit-note") if node.excuse else None,
    )


def render_take(state: LabState, survey: plans.SnapshotSurvey, facts: MachineFacts, *, busy: str | None) -> Node:
    """Return the form that takes a snapshot."""
    tree = state.tree_of(facts.name)
    name = numbered("snapshot", tree, first=1)
    excuse = plans.plan_take(state, survey, facts.name, name, "").excuse
    field = parts.field(_("New snapshot's name"), "name", name)
    return parts.form("take", _("Take…"), field, excuse=excuse, busy=busy, kind="main", key=f"take/{len(tree)}")


def render_restore(
    state: LabState, survey: plans.SnapshotSurvey, facts: MachineFacts, node: SnapshotFacts, *, busy: str | None
) -> Node:
    """Return the form that restores a snapshot; saving the current state first is ticked."""
    saved = numbered(_("before-{name}").format(name=node.name), state.snapshots[facts.name], first=1)
    name = tag("input", name="name", value=saved, autocomplete="off", aria_label=_("Name"))
    run = parts.tick(_("Let the guest run on"), "run") if node.has_memory else None
    return tag(
        "div",
        parts.form(
            "restore",
            _("Restore…"),
            tag("div", parts.tick(_("Save the current state first, as"), "save"), name, class_="labkit-line"),
            tag("div", run, class_="labkit-line") if run else None,
            excuse=plans.plan_restore(state, survey, facts.name, node.name).excuse,
            busy=busy,
            kind="main",
        ),
        _quiet(_("VirtualBox 7.0 restores only a machine that is off, and leaves one that was running saved.")),
        key="restore",
    )


def list_buttons(
    state: LabState, survey: plans.SnapshotSurvey, facts: MachineFacts, node: SnapshotFacts, *, busy: str | None
) -> list[Button]:
    """Return the buttons of acts that need no input, each with its plan's reason against it."""
    branch = len(state.snapshots[facts.name].branch(node.name))
    alone = None if branch > 1 else _("Nothing comes after {name}.").format(name=node.name)
    return [
        Button(
            label=_("Delete…"),
            action="delete",
            excuse=plans.plan_delete(state, survey, facts.name, node.name).excuse,
            busy=busy,
            kind="danger",
            tip=_("Forget this point; every other state keeps its content."),
        ),
        Button(
            label=_("Delete with all after it…"),
            action="delete-branch",
            excuse=alone or plans.plan_delete(state, survey, facts.name, node.name, branch=True).excuse,
            busy=busy,
            kind="danger",
            tip=_("Forget this point and all that came after it."),
        ),
    ]


def render_words(state: LabState, facts: MachineFacts, node: SnapshotFacts, *, busy: str | None) -> Node:
    """Return the forms for a new name and a new description."""
    excuse = plans.plan_relabel(state, facts.name, node.name, description=f"{node.description}.").excuse
    name = parts.field(_("Name"), "name", node.name)
    description = parts.field(_("Description"), "description", node.description)
    return parts.fold(
        _("Name and description"),
        parts.form("rename", _("Rename…"), name, excuse=excuse, busy=busy),
        parts.form("describe", _("Describe…"), description, excuse=excuse, busy=busy),
        key="words",
    )


def render_difference(tree: SnapshotTree, node: SnapshotFacts) -> Child:
    """Return what VirtualBox would do when deleting this snapshot, if that differs."""
    if len(tree.children(node.name)) < 2:
        return None
    return _quiet(_("VirtualBox 7.0 refuses to delete a snapshot that several others come after."))


def _quiet(text: str) -> Node:
    return tag("p", text, class_="labkit-quiet")
