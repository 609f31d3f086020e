"""`ClonePanel`: clones of one machine, full and linked, one or many; estimated costs beside measured ones.

Knows: the store's readings, the acts of clones. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from labkit.engine.survey import measure_given
from labkit.engine.survey_clones import survey_clone
from labkit.errors import BadInput
from labkit.experiments import measure_copy_rate
from labkit.language import _
from labkit.model.lineage import LineageNode, NodeKind, read_lineage
from labkit.model.losses import losses_of
from labkit.model.machine import MachineFacts
from labkit.model.points import span
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneSurvey
from labkit.plans.plan import Plan
from labkit.widgets.acting import Values
from labkit.widgets.clone import parts as drawing
from labkit.widgets.live import OneMachinePanel
from labkit.widgets.loss_parts import render_losses_of
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.reading import LabReading
from labkit.widgets.tree import Child, Node, tag

if TYPE_CHECKING:
    from labkit.engine.executor import Outcome


class ClonePanel(OneMachinePanel):
    """The clones of a machine: make one or many, flatten, relink.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    follows_disks: ClassVar[bool] = True

    def _prepare(self) -> None:
        self._rate_is_measured = False
        self._last: tuple[str, drawing.Cost, drawing.Cost | None] | None = None
        self._survey = CloneSurvey(free_bytes=0, host_memory=0)
        self.refresh()
        self.on("clone", self._clone)
        self.on("flatten", self._flatten)

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Clones of {name}").format(name=self._last_name)

    def line(self) -> str:
        """Return the machine, what it stands on, and the clones that stand on it."""
        facts = self._facts(self._store.reading)
        state = self._store.reading.state
        if facts is None or state is None:
            return f"{self._last_name} — " + _("gone")
        lineage = read_lineage(state)
        original = lineage.original(facts.name)
        clones = span(LineageNode(NodeKind.MACHINE, name) for name in lineage.clones(facts.name))
        head = _("{name}, linked clone of {original}").format(name=facts.name, original=original)
        lines = [head if original else facts.name, *(loss.sentence for loss in losses_of(lineage, facts.name))]
        return "\n".join([*lines, _("clones on it: {names}").format(names=clones or _("none"))])

    def _render_static(self, _state: LabState, _facts: MachineFacts) -> Node:
        head, *rest = self.line().splitlines()
        return tag("div", tag("h3", head), *[tag("p", line) for line in rest])

    def _render_live(self, reading: LabReading, state: LabState, facts: MachineFacts) -> Sequence[Node]:
        lineage = read_lineage(state)
        busy = self._why_not(reading, facts.name)
        return (
            machine_parts.render_head(facts, title=self.title()),
            tag("div", render_losses_of(lineage, facts.name, busy=busy), key="losses"),
            drawing.render_standing(lineage, facts),
            tag("div", drawing.render_form(state, self._survey, facts, busy=busy), key="form"),
            tag("div", self._costs(), key="costs"),
            tag("div", drawing.render_clones(lineage, facts), key="clones"),
            tag("div", drawing.render_repairs(lineage, self._survey.free_bytes, facts, busy=busy), key="repairs"),
        )

    def _costs(self) -> Child:
        return None if self._last is None else drawing.render_costs(*self._last)

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab, and measure what plans need."""
        super().refresh()
        self._survey = survey_clone(self._machine.handle.session)

    def _clone(self, values: Values) -> None:
        name, count = values.get("name", ""), values.get("count", "1").strip()
        if not count.isdecimal():
            raise BadInput(
                _("{text!r} is not a number of clones.").format(text=count), _("Write a whole number from 1.")
            )
        many = int(count) if "{" in name or count != "1" else None
        label = _("Clone {name}").format(name=self._last_name)

        def make() -> Plan:
            return self._machine.clone.plan(
                name,
                kind=values.get("kind", ""),
                snapshot=values.get("snapshot") or None,
                identity=values.get("identity", ""),
                count=many,
                snapshots="snapshots" in values,
                reflink="reflink" in values,
                instant="instant" in values,
            )

        self._foresee(label, make)

    def _flatten(self, values: Values) -> None:
        name = values.get("subject", "")
        self._foresee(_("Flatten {name}").format(name=name), partial(self._plan_flattening, name))

    def _relink(self, values: Values) -> None:
        disk, file = values.get("disk", ""), values.get("file", "").strip()
        self._foresee(_("Relink {name}").format(name=disk), lambda: self._machine.relink.plan(disk, file))

    def _foresee(self, label: str, make: Callable[[], Plan]) -> None:
        """Propose an act with an estimate of its costs, and show the measured costs beside it afterwards."""

        def make_with_estimate() -> Plan:
            if not self._rate_is_measured:
                self.acting.copy_rate, self._rate_is_measured = measure_copy_rate(self._lab), True
            plan = make()
            self._last = None if plan.refusal else (label, drawing.predict(plan, self.acting.copy_rate), None)
            return plan

        def measure(outcome: Outcome) -> None:
            files = outcome.plan.files
            given = measure_given((*files.created, *files.rewritten))
            if self._last is not None:
                self._last = (*self._last[:2], drawing.Cost(seconds=outcome.seconds, bytes=given))

        self._propose(label, make_with_estimate, then=measure)
