"""`SnapshotPanel`: the snapshots of one machine as a tree, what each keeps, and what can be done with them.

Knows: the store's readings, the acts of snapshots. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from labkit.errors import LabError
from labkit.language import _
from labkit.model.lineage import read_lineage
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.model.tree_layout import HERE
from labkit.plans.snapshot import SnapshotSurvey
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.live import OneMachinePanel
from labkit.widgets.loss_parts import render_losses_of
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.offer_parts import find_changed, render_refusal
from labkit.widgets.reading import LabReading
from labkit.widgets.snapshot import parts as drawing
from labkit.widgets.tree import Child, Node, tag

if TYPE_CHECKING:
    from labkit.engine.executor import Outcome


class SnapshotPanel(OneMachinePanel):
    """The snapshots of a machine: take, restore, describe, delete.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    def _prepare(self) -> None:
        self._chosen: str | None = None
        self._survey = SnapshotSurvey(free_bytes=self._lab.survey_disks().free_bytes)
        self.on("show", self._show)
        self.on("take", self._take)
        self.on("restore", self._restore)
        self.on("rename", self._rename)
        self.on("describe", self._describe)
        self.on("delete", lambda _values: self._delete(branch=False))
        self.on("delete-branch", lambda _values: self._delete(branch=True))

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Snapshots of {name}").format(name=self._last_name)

    def line(self) -> str:
        """Return the machine's name and its tree."""
        reading = self._store.reading
        facts = self._facts(reading)
        return (
            f"{self._last_name}\n{self._tree(reading, facts).text()}" if facts else f"{self._last_name} — " + _("gone")
        )

    def _render_static(self, _state: LabState, facts: MachineFacts) -> Node:
        return tag("div", tag("h3", facts.name), tag("pre", self._tree(self._store.reading, facts).text()))

    def _render_live(self, reading: LabReading, state: LabState, facts: MachineFacts) -> Sequence[Node]:
        tree = self._tree(reading, facts)
        busy = self._why_not(reading, facts.name)
        return (
            machine_parts.render_head(facts, title=self.title()),
            tag("div", render_losses_of(read_lineage(state), facts.name, busy=busy), key="losses"),
            tag("div", render_refusal(find_changed(state, facts, self._survey.changed), busy=busy), key="broken"),
            tag(
                "div",
                tag(
                    "div",
                    tag("p", drawing.count_words(len(tree)), class_="labkit-quiet"),
                    drawing.render_tree(tree, facts, self._shown(tree)),
                    drawing.render_take(state, self._survey, facts, busy=busy),
                ),
                tag("div", self._detail(reading, facts, tree, busy), key="detail"),
                class_="labkit-beside",
            ),
        )

    def _detail(self, reading: LabReading, facts: MachineFacts, tree: SnapshotTree, busy: str | None) -> Child:
        name = self._shown(tree)
        if name is None or reading.state is None:
            return None
        if name == HERE:
            return drawing.render_here(tree, facts)
        state, survey, node = reading.state, self._survey, tree[name]
        return tag(
            "div",
            drawing.render_facts(state, survey, facts, node),
            drawing.render_restore(state, survey, facts, node, busy=busy),
            parts.render_buttons(drawing.list_buttons(state, survey, facts, node, busy=busy), label="snapshot"),
            drawing.render_difference(tree, node),
            drawing.render_words(state, facts, node, busy=busy),
            key=name,
        )

    def _tree(self, reading: LabReading, facts: MachineFacts | None) -> SnapshotTree:
        if reading.state is None or facts is None:
            return SnapshotTree()
        return reading.state.tree_of(facts.name)

    def _shown(self, tree: SnapshotTree) -> str | None:
        """Return what is shown: the chosen snapshot or "you are here", by default the current snapshot."""
        if self._chosen in tree or (self._chosen == HERE and tree.nodes):
            return self._chosen
        return tree.current or next(iter(tree), None)

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab, and measure what plans need."""
        super().refresh()
        try:
            self._survey = self._machine.snapshots.survey(ask_guest=False)
        except LabError:  # the machine is just gone: keep the earlier survey
            return

    @property
    def _name(self) -> str:
        """The name of the shown snapshot; empty if there is none."""
        reading = self._store.reading
        return self._shown(self._tree(reading, self._facts(reading))) or ""

    def _show(self, values: Values) -> None:
        self._chosen = values.get("subject")

    def _take(self, values: Values) -> None:
        name = values.get("name", "")
        label = _("Take {name}").format(name=name)
        self._propose(label, partial(self._machine.snapshots.take.plan, name), then=self._choosing(name))

    def _restore(self, values: Values) -> None:
        name = self._name
        save = values.get("name", "") if "save" in values else None
        run = "run" in values or not self._keeps_memory(name)
        self._propose(
            _("Restore {name}").format(name=name),
            partial(self._machine.snapshots.restore.plan, name, save_current=save, run=run),
            then=self._choosing(name),
        )

    def _keeps_memory(self, name: str) -> bool:
        reading = self._store.reading
        tree = self._tree(reading, self._facts(reading))
        return name in tree and tree[name].has_memory

    def _delete(self, *, branch: bool) -> None:
        name = self._name
        label = (_("Delete {name} and all after it") if branch else _("Delete {name}")).format(name=name)
        self._propose(
            label, partial(self._machine.snapshots.delete.plan, name, branch=branch), then=self._choosing(None)
        )

    def _rename(self, values: Values) -> None:
        name, new = self._name, values.get("name", "")
        label = _("Rename {name}").format(name=name)
        self._propose(label, partial(self._machine.snapshots.rename.plan, name, new), then=self._choosing(new))

    def _describe(self, values: Values) -> None:
        name, text = self._name, values.get("description", "")
        label = _("Describe {name}").format(name=name)
        self._propose(label, partial(self._machine.snapshots.describe.plan, name, text), then=self._choosing(name))

    def _choosing(self, name: str | None) -> Callable[[Outcome], None]:
        """Return what shows a snapshot once an act is carried out; None: the current one."""

        def choose(_outcome: Outcome) -> None:
            self._chosen = name

        return choose
