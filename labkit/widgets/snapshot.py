"""`SnapshotPanel`: the snapshots of one machine as a tree, what each keeps, and what can be done with them.

Every act shows its plan first. It follows the machine by its id, as `MachinePanel` does.

Knows: the store's readings, the acts of snapshots. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, overload

from labkit.errors import LabError
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.plans.plan import Plan
from labkit.plans.snapshot import SnapshotSurvey
from labkit.widgets import machine_parts, parts
from labkit.widgets import snapshot_parts as drawing
from labkit.widgets.panel import Panel, Values
from labkit.widgets.store import Reading, Store
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.machine import Machine


class SnapshotPanel(Panel):
    """The snapshots of a machine: take, restore, describe, delete.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    @overload
    def __init__(self, where: Machine) -> None: ...
    @overload
    def __init__(self, where: Lab, name: str) -> None: ...
    def __init__(self, where: Machine | Lab, name: str | None = None) -> None:
        super().__init__()
        machine: Machine = where if name is None else where.machines[name]  # type: ignore[assignment,union-attr]
        self._machine = machine
        self._lab = machine.lab
        self._id, self._last_name = machine.id, machine.name
        self._chosen: str | None = None
        self._survey = SnapshotSurvey(free_bytes=self._lab.survey_disks().free_bytes)
        self._store = Store.of(self._lab)
        self._store.read()
        self.on("show", self._show)
        self.on("take", self._take)
        self.on("restore", self._restore)
        self.on("rename", self._rename)
        self.on("describe", self._describe)
        self.on("delete", lambda _values: self._delete(branch=False))
        self.on("delete-branch", lambda _values: self._delete(branch=True))

    # --- what is shown -----------------------------------------------------------------------------

    def line(self) -> str:
        """Return the machine's name and its tree."""
        reading = self._store.reading
        facts = self._facts(reading)
        return (
            f"{self._last_name}\n{self._tree(reading, facts).text()}" if facts else f"{self._last_name} — {_('gone')}"
        )

    def body(self, *, live: bool) -> Node:
        """Return the snapshots; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed:
            return machine_parts.render_notice(self._last_name, _("The lab is closed. Lab.open() opens it again."))
        if facts is None and reading.trouble is None:
            return machine_parts.render_notice(self._last_name, _("This machine is no longer in the lab."))
        if facts is None or reading.state is None:
            return machine_parts.render_notice(self._last_name, _("The lab cannot be read."), reading.trouble)
        tree = self._tree(reading, facts)
        if not live:
            return tag("div", tag("h3", facts.name), tag("pre", tree.text()))
        busy = self.busy
        if busy is None and facts.name in reading.state.busy:
            busy = _("Another act is at work on {name}.").format(name=facts.name)
        return tag(
            "div",
            tag("div", machine_parts.render_trouble(reading.trouble), key="trouble"),
            machine_parts.render_head(facts),
            tag("p", drawing.count_words(len(tree)), class_="labkit-quiet"),
            drawing.render_tree(tree, self._shown(tree)),
            drawing.render_take(reading.state, self._survey, facts, busy=busy),
            tag("div", self._detail(reading, facts, tree, busy), key="detail"),
        )

    def _detail(self, reading: Reading, facts: MachineFacts, tree: SnapshotTree, busy: str | None) -> Child:
        name = self._shown(tree)
        if name is None or reading.state is None:
            return None
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

    def _facts(self, reading: Reading) -> MachineFacts | None:
        machines = reading.state.machines.values() if reading.state else ()
        facts = next((machine for machine in machines if machine.id == self._id), None)
        self._last_name = facts.name if facts else self._last_name
        return facts

    def _tree(self, reading: Reading, facts: MachineFacts | None) -> SnapshotTree:
        if reading.state is None or facts is None:
            return SnapshotTree()
        return reading.state.snapshots.get(facts.name, SnapshotTree())

    def _shown(self, tree: SnapshotTree) -> str | None:
        """Return the snapshot that is shown: the chosen one, else the current one."""
        if self._chosen in tree:
            return self._chosen
        return tree.current or next(iter(tree), None)

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab, and what plans need measured."""
        self._store.read()
        try:
            self._survey = self._machine.snapshots.survey(ask_guest=False)
        except LabError:  # the machine has just gone: what was measured before will do
            return

    def displayed(self) -> None:
        """Follow the lab."""
        self._store.follow(self)
        self._store.poke()

    @property
    def _name(self) -> str:
        """The name of the snapshot that is shown; empty if there is none."""
        reading = self._store.reading
        return self._shown(self._tree(reading, self._facts(reading))) or ""

    def _show(self, values: Values) -> None:
        self._chosen = values.get("snapshot")

    def _take(self, values: Values) -> None:
        name = values.get("name", "")
        label = _("Take {name}").format(name=name)
        self._propose(label, lambda: self._machine.snapshots.take.plan(name), shows=name)

    def _restore(self, values: Values) -> None:
        name = self._name
        save = values.get("name", "") if "save" in values else None
        run = "run" in values or not self._keeps_memory(name)
        self._propose(
            _("Restore {name}").format(name=name),
            lambda: self._machine.snapshots.restore.plan(name, save_current=save, run=run),
            shows=name,
        )

    def _keeps_memory(self, name: str) -> bool:
        reading = self._store.reading
        tree = self._tree(reading, self._facts(reading))
        return name in tree and tree[name].has_memory

    def _delete(self, *, branch: bool) -> None:
        name = self._name
        label = (_("Delete {name} and all after it") if branch else _("Delete {name}")).format(name=name)
        self._propose(label, lambda: self._machine.snapshots.delete.plan(name, branch=branch))

    def _rename(self, values: Values) -> None:
        name, new = self._name, values.get("name", "")
        label = _("Rename {name}").format(name=name)
        self._propose(label, lambda: self._machine.snapshots.rename.plan(name, new), shows=new)

    def _describe(self, values: Values) -> None:
        name, text = self._name, values.get("description", "")
        label = _("Describe {name}").format(name=name)
        self._propose(label, lambda: self._machine.snapshots.describe.plan(name, text), shows=name)

    def _propose(self, label: str, make: Callable[[], Plan], *, shows: str | None = None) -> None:
        """Make a plan on the panel's thread and show it; carried out, `shows` is the snapshot to look at."""

        def carry_out(plan: Plan, work: Work) -> tuple[str, ...]:
            outcome = self._lab.carry_out(
                plan, on_progress=lambda progress: self.report(work, progress), cancel=work.cancel
            )
            self._chosen = shows
            return outcome.commands

        self.work(_("Planning"), lambda _work: self.propose(make(), carry_out, label=label))
