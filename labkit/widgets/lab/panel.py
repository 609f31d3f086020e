"""`LabPanel`: the whole lab on one page: machines, what they use, what happened, who depends on whom, free space.

Knows: the store's readings, the acts of machines. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from labkit.errors import LabError
from labkit.language import _, language
from labkit.machine import Machine
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.lineage_text import find_needing, lineage_text, marks_of
from labkit.model.losses import find_losses
from labkit.model.machine import MachineFacts
from labkit.model.orphan import find_orphans
from labkit.model.state import LabState
from labkit.model.words import under_way
from labkit.plans.plan import Plan
from labkit.widgets import act_parts, parts
from labkit.widgets.acting import Values
from labkit.widgets.lab import parts as drawing
from labkit.widgets.lab import rows
from labkit.widgets.lab.orphans import render_orphans
from labkit.widgets.lab.story import render_news, render_trace, step_of
from labkit.widgets.lineage import parts as lineage_parts
from labkit.widgets.live import CAN_CANCEL, SWITCHES, LivePanel
from labkit.widgets.loss_parts import render_losses, render_losses_of, render_seals, why_not_start
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.reading import LabReading
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab

NEWS = 30
"""How many happenings of the whole lab are listed."""


class LabPanel(LivePanel):
    """The whole lab: make, switch and delete machines; use and history of each, the lineage, free space on the host.

    Args:
        lab: the lab to show.
    """

    follows_disks: ClassVar[bool] = True

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._began = time.time()
        self._open: set[str] = set()
        self._shows_lineage, self._chosen = False, ""
        self._switched: dict[str, Work] = {}
        self._rows: dict[str, tuple[object, Node]] = {}
        self._lineage_of: tuple[LabState, Lineage] | None = None
        self.on("open", self._open_row)
        self.on("unfold", self._unfold)
        self.on("show", self._show)
        self.on("create", self._create)
        self.on("delete", self._delete)
        self.on("adopt", self._adopt)
        self.on("adopt-as-snapshot", self._adopt_as_snapshot)
        self.on("discard", self._discard)
        self.on("discard-all", self._discard_all)
        self.on("cancel", self._cancel)
        self.on("bring-back", self._bring_back)
        for act in SWITCHES:
            self.on(act, partial(self._switch, act))

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("The lab")

    def line(self) -> str:
        """Return the lab and its machines, a line each."""
        state = self._store.reading.state
        if state is None:
            return _("the lab cannot be read")
        return "\n  ".join([state.lab, *map(drawing.machine_line, state.machines.values())])

    def body(self, *, live: bool) -> Node:
        """Return the lab; see `Panel.body`."""
        reading, state = self._store.reading, self._store.reading.state
        if reading.closed or state is None:
            return self._render_absence(reading, _("The lab"))
        if not live:
            lines = [tag("li", drawing.machine_line(facts)) for facts in state.machines.values()]
            return tag(
                "div",
                drawing.render_head(state),
                tag("ul", *lines) if lines else tag("p", _("There is nothing in this lab yet.")),
                render_losses(find_losses(read_lineage(state)), more=render_seals(state)),
                tag("pre", lineage_text(read_lineage(state))) if lines else None,
            )
        machines = state.machines
        roomy = len(machines) <= rows.ROOMY
        sizes = rows.sizes_of(state)
        known = {facts.id for facts in machines.values()}
        self._rows = {each: row for each, row in self._rows.items() if each in known}
        losses = find_losses(self._lineage(state))
        listed = [
            self._row(reading, facts, sizes.get(name, 0), roomy=roomy, lost=why_not_start(losses, name))
            for name, facts in machines.items()
        ]
        return tag(
            "div",
            tag("div", machine_parts.render_trouble(reading.trouble), key="trouble"),
            drawing.render_head(state),
            drawing.render_space(state, self._lab.survey_disks().free_bytes),
            tag("div", drawing.render_acts(state.acts, state.busy), key="acts"),
            tag("div", render_losses(losses, more=render_seals(state)), key="losses"),
            tag("div", rows.render_search(len(machines)), key="search"),
            self._render_machines(listed, roomy=roomy),
            drawing.render_create(state, busy=self.busy),
            tag("div", render_orphans(find_orphans(state), busy=self.busy), key="orphans"),
            parts.fold(_("Who depends on whom"), self._render_lineage(state), key="lineage", asks=True),
            parts.fold(_("What happened"), self._news(state) or tag("p", _("Nothing yet.")), key="news"),
        )

    def _render_machines(self, listed: list[Node], *, roomy: bool) -> Node:
        if not listed:
            return tag("p", _("There is nothing in this lab yet."))
        titles = rows.render_titles(roomy=roomy)
        compact = "" if roomy else " labkit-compact"
        return tag("ul", titles, *listed, class_=f"labkit-machines{compact}", data_filtered="machines", key="machines")

    def _row(self, reading: LabReading, facts: MachineFacts, size: int, *, roomy: bool, lost: str | None) -> Node:
        """Return a machine's row; if nothing in it has changed, the row laid out before, since there may be many."""
        work = self._switched.get(facts.id)
        busy = work.busy if work else self._why_not(reading, facts.name)
        samples, happenings = reading.samples.get(facts.id, ()), self._store.chronicle.of(facts.id)
        details = reading.state if facts.id in self._open else None
        now = step_of(time.time())
        basis = (facts, size, roomy, lost, busy, samples, happenings, details, now, language())
        if work is None and facts.id in self._rows and self._rows[facts.id][0] == basis:
            return self._rows[facts.id][1]
        switches = rows.list_switches(facts, busy=busy, lost=lost)
        row = rows.render_row(
            facts,
            switches=switches,
            meters=rows.list_meters(facts, samples),
            trace=render_trace(happenings, began=self._began, now=now),
            details=rows.render_details(
                facts,
                self._lineage(details),
                happenings,
                [*(() if roomy else switches), rows.delete_button(details, facts, busy=busy)],
                render_losses_of(self._lineage(details), facts.name, busy=busy),
            )
            if details
            else None,
            size=size,
            under_way=act_parts.render_work(work, subject=facts.id) if work else None,
            roomy=roomy,
        )
        self._rows[facts.id] = (basis, row)
        return row

    def _news(self, state: LabState) -> Node | None:
        chronicle = self._store.chronicle
        names = {facts.id: facts.name for facts in state.machines.values()}
        told = [each for machine_id, name in names.items() for each in chronicle.told(machine_id, name)]
        return render_news([*told, *chronicle.gone()], most=NEWS)

    def _lineage(self, state: LabState) -> Lineage:
        if self._lineage_of is None or self._lineage_of[0] is not state:
            self._lineage_of = (state, read_lineage(state))
        return self._lineage_of[1]

    def _render_lineage(self, state: LabState) -> Child:
        """Return the lineage to look around in; nothing until its fold is opened, since many machines take a while."""
        if not self._shows_lineage:
            return None
        lineage = self._lineage(state)
        try:
            node = lineage.find(self._chosen)
        except LabError:  # nothing is chosen, or it is gone
            node = None
        return tag(
            "div",
            lineage_parts.render_tree(lineage, node, marks_of(lineage, node), grouped=True),
            lineage_parts.render_node(lineage, node, find_needing(lineage, node)) if node else None,
        )

    # --- what is done ------------------------------------------------------------------------------

    def _open_row(self, values: Values) -> None:
        self._open ^= {values.get("subject", "")}

    def _unfold(self, _values: Values) -> None:
        self._shows_lineage = True

    def _show(self, values: Values) -> None:
        self._chosen = values.get("subject", "")

    def _create(self, values: Values) -> None:
        name, vcpus = values.get("name", ""), machine_parts.parse_vcpus(values.get("vcpus", ""))
        self._propose(
            _("Create {name}").format(name=name),
            lambda: self._lab.create.plan(
                name, image=values.get("image", ""), memory=values.get("memory", ""), vcpus=vcpus
            ),
        )

    def _delete(self, values: Values) -> None:
        facts = self._find(values)
        if facts is not None:
            machine = Machine(self._lab, facts.id, facts.name)
            self._propose(_("Delete {name}").format(name=facts.name), machine.delete.plan)

    def _adopt(self, values: Values) -> None:
        name = values.get("subject", "")
        self._propose(_("Adopt {name}").format(name=name), partial(self._plan_adoption, name))

    def _plan_adoption(self, name: str) -> Plan:
        return self._lab.orphans[name].adopt.plan()

    def _adopt_as_snapshot(self, values: Values) -> None:
        name = values.get("subject", "")
        self._propose(_("Adopt {name}").format(name=name), partial(self._plan_revival, name))

    def _plan_revival(self, name: str) -> Plan:
        return self._lab.orphans[name].adopt_as_snapshot.plan()

    def _discard(self, values: Values) -> None:
        name = values.get("subject", "")
        self._propose(_("Discard {name}").format(name=name), partial(self._plan_discarding, name))

    def _plan_discarding(self, name: str) -> Plan:
        return self._lab.orphans[name].discard.plan()

    def _discard_all(self, _values: Values) -> None:
        self._propose(_("Discard what nobody needs"), self._lab.orphans.discard.plan)

    def _bring_back(self, _values: Values) -> None:
        def bring_back(_work: Work) -> None:
            for sentence in self._lab.orphans.bring_back():
                self.acting.tell(sentence)

        self.acting.work(_("Bringing back what libvirt forgot"), bring_back)

    def _find(self, values: Values) -> MachineFacts | None:
        """Return the machine that an action is about, or None if it is gone."""
        state = self._store.reading.state
        machines = state.machines.values() if state else ()
        return next((each for each in machines if each.id == values.get("subject")), None)

    def _switch(self, act: str, values: Values) -> None:
        """Switch a machine on a thread of its own; several can be switched at the same time, each only once."""
        facts = self._find(values)
        if facts is None:
            return
        with self._lock:
            if facts.id in self._switched:
                return
            work = Work(
                label=under_way(act, facts.name), can_cancel=act in CAN_CANCEL, expected=self._store.expected(act)
            )
            self._switched[facts.id] = work
        name = f"labkit panel: {act} {facts.name}"
        threading.Thread(target=self._carry_out, args=(act, facts, work), name=name, daemon=True).start()

    def _cancel(self, values: Values) -> None:
        """Cancel the switch of the row that asks, or the act of the whole panel."""
        switching = self._switched.get(values.get("subject", ""))
        if switching is None:
            self.acting.cancel()
        else:
            switching.cancel.set()

    def _carry_out(self, act: str, facts: MachineFacts, work: Work) -> None:
        try:
            self._switch_machine(Machine(self._lab, facts.id, facts.name), facts, act, work)
        except Exception as error:  # noqa: BLE001  no thread above to take it: the panel shows it
            with self._lock:
                self.acting.settle(work, error)
        finally:
            with self._lock:
                del self._switched[facts.id]
            self.refresh()
            self.redraw()
