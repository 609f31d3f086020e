"""`LineagePanel`: all machines, snapshots and disks of a lab; one of them with its dependants and the ways out.

Knows: the store's readings, the acts that undo a dependence. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from labkit.errors import LabError
from labkit.language import _, ngettext
from labkit.model.lineage import Lineage, LineageNode, NodeKind, read_lineage
from labkit.model.lineage_text import find_needing, lineage_text, marks_of
from labkit.model.losses import find_losses
from labkit.model.points import find_points
from labkit.plans.plan import Plan
from labkit.widgets import parts, tree
from labkit.widgets.acting import Values
from labkit.widgets.lineage import parts as drawing
from labkit.widgets.live import LivePanel
from labkit.widgets.loss_parts import render_losses, render_losses_of
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.parts import Button
from labkit.widgets.reading import LabReading
from labkit.widgets.tree import Child, tag

if TYPE_CHECKING:
    from labkit.lab import Lab


class LineagePanel(LivePanel):
    """The lineage of a lab: who stands on whom.

    Args:
        lab: whose lineage it is.
        node: what is selected at first: "web", "web@clean", or a file's path; None: nothing.

    Raises:
        NotFound: the lab has no such machine, snapshot or file.
    """

    follows_disks: ClassVar[bool] = True
    shows_states: ClassVar[bool] = False

    def __init__(self, lab: Lab, node: str | None = None) -> None:
        super().__init__(lab)
        self._first = self._chosen = None if node is None else lab.lineage.find(node).name
        self._grouped = True
        self.on("show", self._show)
        self.on("group", self._group)
        self.on("delete", self._delete)
        self.on("flatten", self._flatten)

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Lineage")

    def line(self) -> str:
        """Return the lineage as text."""
        lineage = self._lineage()
        if lineage is None:
            return _("the lineage of this lab")
        return "\n" + lineage_text(lineage, marks=marks_of(lineage, self._find(lineage, self._first)))

    def body(self, *, live: bool) -> tree.Node:
        """Return the lineage; see `Panel.body`."""
        reading = self._store.reading
        title = self.title()
        lineage = self._lineage()
        if reading.closed or lineage is None:
            return self._render_absence(reading, title)
        if not live:
            marks = marks_of(lineage, self._find(lineage, self._first))
            return tag("div", tag("h3", title), tag("pre", lineage_text(lineage, marks=marks)))
        node = self._find(lineage, self._chosen)
        count = len(lineage.state.machines)
        machines = ngettext("{count} machine", "{count} machines", count).format(count=count)
        return tag(
            "div",
            tag("div", machine_parts.render_trouble(reading.trouble), key="trouble"),
            tag("div", tag("h3", title), tag("span", machines, class_="labkit-quiet"), class_="labkit-head"),
            drawing.render_tree(lineage, node, marks_of(lineage, node), grouped=self._grouped),
            tag("div", self._render_grouping(lineage), key="grouping"),
            tag("div", self._detail(lineage, node), key="detail"),
        )

    def _render_grouping(self, lineage: Lineage) -> Child:
        """Return the choice between one row for equal clones and one for each; nothing if none are equal."""
        if not any(len(point.equals) > 1 for point in find_points(lineage)):
            return None
        label = _("Show each clone") if self._grouped else _("Show equal clones as one")
        return parts.render_buttons([Button(label=label, action="group")], label="group")

    def _detail(self, lineage: Lineage, node: LineageNode | None) -> Child:
        if node is None:
            return None
        free = self._lab.survey_disks().free_bytes
        busy = self._why_not(self._store.reading, node.machine)
        clones = drawing.clones_of(lineage, node)
        return tag(
            "div",
            drawing.render_node(lineage, node, find_needing(lineage, node)),
            self._render_losses(lineage, node, busy=busy),
            drawing.render_ways_out(drawing.why_not_delete(lineage.state, free, node)),
            drawing.render_flattening(clones, busy=busy),
            parts.render_buttons(
                [
                    *drawing.list_flattening(lineage, free, clones, busy=busy),
                    *drawing.list_buttons(lineage, free, node, busy=busy),
                ],
                label="node",
            ),
            key=node.name,
        )

    def _render_losses(self, lineage: Lineage, node: LineageNode, *, busy: str | None) -> Child:
        """Return what the node needs and cannot use; for a machine's, with the form that brings it back."""
        if node.machine is not None:
            return render_losses_of(lineage, node.machine, busy=busy)
        losses = find_losses(lineage)
        return render_losses([loss for loss in losses if node in loss.needed_by or node.name == loss.path])

    def _lineage(self) -> Lineage | None:
        state = self._store.reading.state
        return read_lineage(state) if state else None

    def _about(self, _reading: LabReading) -> str | None:
        """Return the machine that the selected node belongs to, or None."""
        lineage = self._lineage()
        node = self._find(lineage, self._chosen) if lineage else None
        return node.machine if node else None

    def _find(self, lineage: Lineage, name: str | None) -> LineageNode | None:
        try:
            return None if name is None else lineage.find(name)
        except LabError:  # it is gone since it was chosen
            return None

    # --- what is done ------------------------------------------------------------------------------

    def _show(self, values: Values) -> None:
        self._chosen = values.get("subject")

    def _group(self, _values: Values) -> None:
        self._grouped = not self._grouped

    def _delete(self, _values: Values) -> None:
        lineage = self._lineage()
        node = self._find(lineage, self._chosen) if lineage else None
        if node is not None:
            self._propose(_("Delete {name}").format(name=node.label), lambda: self._plan_deletion(node))

    def _plan_deletion(self, node: LineageNode) -> Plan:
        if node.kind is NodeKind.SNAPSHOT:
            return self._lab.machines[node.machine or ""].snapshots.delete.plan(node.snapshot or "")
        if node.kind is NodeKind.DISK:
            return self._lab.disks[node.name].delete.plan()
        return self._lab.machines[node.name].delete.plan()

    def _flatten(self, values: Values) -> None:
        name = values.get("subject", "")
        self._propose(_("Flatten {name}").format(name=name), partial(self._plan_flattening, name))
