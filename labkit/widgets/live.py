"""What panels of a lab have in common: they follow the lab through its store, and show each act's plan first.

A `LivePanel` is about a lab, a `OneMachinePanel` about one machine, which it follows by its id: it shows a new name,
and says when the machine has been deleted.

Knows: the store's readings, plans. Must not know: libvirt; what is shown of the lab.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.model.words import state_word
from labkit.plans.effect import state_after
from labkit.plans.naming import numbered
from labkit.plans.plan import Plan
from labkit.widgets.acting import Proposal, Values
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.offer_parts import ACCEPT, COPY
from labkit.widgets.panel import Panel, lab_of, machine_of
from labkit.widgets.reading import LabReading
from labkit.widgets.store import Store
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.engine.executor import Outcome
    from labkit.lab import Lab
    from labkit.machine import Machine


SWITCHES = {
    "start": "start",
    "stop": "shutdown",
    "pause": "suspend",
    "resume": "resume",
    "save": "managedsave",
    "kill": "destroy",
}
"""The switches of a machine, with virsh's word for each."""

CAN_CANCEL = frozenset({"stop", "save"})
"""The switches that may take a while and can be cancelled."""


class LivePanel(Panel):
    """A panel of a lab."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab_of(lab)
        self._store = Store.of(self._lab)
        self._store.read()
        self.on("relink", self._relink)
        self.on(ACCEPT, self._accept)
        self.on(COPY, self._copy)

    def refresh(self) -> None:
        """Read the lab."""
        self._store.read()

    def displayed(self) -> None:
        """Follow the lab."""
        self._store.follow(self)
        self._store.poke()

    def _propose(
        self,
        label: str,
        make: Callable[[], Plan],
        *,
        then: Callable[[Outcome], object] = lambda _outcome: None,
    ) -> None:
        """Make a plan on the panel's thread and ask about it; `then` is called once it is carried out."""

        def carry_out(plan: Plan, work: Work) -> tuple[str, ...]:
            outcome = self._lab.carry_out(
                plan, on_progress=lambda progress: self.acting.report(work, progress), cancel=work.cancel
            )
            then(outcome)
            work.remarks = outcome.remarks
            return (*outcome.commands, *outcome.remarks)

        def plan(_work: Work) -> Proposal:
            return Proposal(plan=make(), carry_out=carry_out, label=label)

        self.acting.work(_("Planning"), plan)

    def _switch_machine(self, machine: Machine, facts: MachineFacts, act: str, work: Work) -> None:
        """Do one of `SWITCHES`, remember how long it took, and add its command."""
        began, before = time.monotonic(), len(self._lab.history)
        call: Callable[..., object] = getattr(machine, act)
        if act == "save":
            call(cancel=work.cancel, on_progress=lambda progress: self.acting.report(work, progress))
        elif act in CAN_CANCEL:
            call(cancel=work.cancel)
        else:
            call()
        self._store.remember(act, time.monotonic() - began)
        outcomes = [each for each in self._lab.history[before:] if each.plan.subject == facts.name]
        for outcome in outcomes:  # a machine that was resumed from its image's memory
            self.acting.tell(*outcome.commands, *outcome.plan.notes, *outcome.remarks)
        if not outcomes:
            self.acting.tell(shlex.join(["virsh", SWITCHES[act], facts.spec.domain_name]))

    def losses(self, plan: Plan) -> tuple[str, ...]:
        """Return the machines and snapshots that are lost for good with a plan."""
        state = self._store.reading.state
        if state is None or plan.act != "delete" or plan.refusal:
            return ()
        after = state_after(state, plan)
        machines = [_("the machine {name}").format(name=name) for name in state.machines if name not in after.machines]
        snapshots = [
            _("the snapshot {name} of {machine}").format(name=name, machine=machine)
            for machine, tree in state.snapshots.items()
            for name in tree
            if name not in after.snapshots.get(machine, ())
        ]
        return (*machines, *snapshots)

    def _relink(self, values: Values) -> None:
        """Propose to put a file in the place of a lost image below a disk of the subject's machine."""
        machine, disk, file = values.get("subject", ""), values.get("disk", ""), values.get("file", "").strip()
        label = _("Relink {name}").format(name=disk)
        self._propose(label, lambda: self._lab.machines[machine].relink.plan(disk, file))

    def _accept(self, values: Values) -> None:
        """Propose to accept the frozen images below a machine, or a free disk, as they are now."""
        machine, _slash, disk = values.get("subject", "").partition("/")

        def make() -> Plan:
            act = self._lab.machines[machine].snapshots if machine else self._lab.disks[disk]
            return act.accept_changes.plan()

        self._propose(_("Take {name} as it is now").format(name=machine or disk), make)

    def _copy(self, values: Values) -> None:
        """Propose to save what can be read of a disk into a new disk."""
        disk = values.get("subject", "")
        self._propose(
            _("Save what can be read of {name}").format(name=disk),
            lambda: self._lab.disks[disk].convert.plan(numbered(disk, self._lab.disks), as_is=True),
        )

    def _plan_flattening(self, machine: str) -> Plan:
        return self._lab.machines[machine].flatten.plan()

    def _about(self, _reading: LabReading) -> str | None:
        """Return the name of the one machine that the panel is about, or None."""
        return None

    @property
    def held(self) -> str | None:
        """The sentence that an act of somebody else is at work on the machine, or None."""
        reading = self._store.reading
        return self._why_held(reading, self._about(reading))

    def _why_held(self, reading: LabReading, machine: str | None) -> str | None:
        if reading.state is None or machine not in reading.state.busy:
            return None
        return _("Another act is at work on {name}.").format(name=machine)

    def _why_not(self, reading: LabReading, machine: str | None) -> str | None:
        """Return why nothing can be done now with a machine and its things, or None."""
        return self.busy or self._why_held(reading, machine)

    def _render_absence(self, reading: LabReading, title: str, *, gone: str = "") -> Node:
        """Say why there is nothing to show. `gone`: what to say if the lab itself can be read."""
        if reading.closed:
            return machine_parts.render_notice(title, _("The lab is closed. Lab.open() opens it again."))
        if gone and reading.trouble is None:
            return machine_parts.render_notice(title, gone)
        return machine_parts.render_notice(title, _("The lab cannot be read."), reading.trouble)


class OneMachinePanel(LivePanel):
    """A panel of one machine.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        BadInput: it is neither. NotFound: the lab has no such machine.
    """

    @overload
    def __init__(self, where: Machine) -> None: ...
    @overload
    def __init__(self, where: Lab, name: str) -> None: ...
    def __init__(self, where: Machine | Lab, name: str | None = None) -> None:
        machine = machine_of(where, name)
        super().__init__(machine.lab)
        self._machine = machine
        self._id, self._last_name = machine.id, machine.name
        self._prepare()

    def _prepare(self) -> None:
        """Initialize the panel's own attributes and actions."""
        raise NotImplementedError

    def _facts(self, reading: LabReading) -> MachineFacts | None:
        """The machine as last read, or None if it is gone."""
        machines = reading.state.machines.values() if reading.state else ()
        facts = next((machine for machine in machines if machine.id == self._id), None)
        self._last_name = facts.name if facts else self._last_name
        return facts

    def _about(self, reading: LabReading) -> str | None:
        """Return the machine's name, or None if it is gone."""
        facts = self._facts(reading)
        return facts.name if facts else None

    @property
    def name(self) -> str:
        """The machine's name, or its last one."""
        self._facts(self._store.reading)
        return self._last_name

    def line(self) -> str:
        """Return name and state."""
        facts = self._facts(self._store.reading)
        return f"{self._last_name} — " + (state_word(facts.state) if facts else _("gone"))

    def body(self, *, live: bool) -> Node:
        """Return what is shown of the machine, or why there is nothing; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed or facts is None or reading.state is None:
            return self._render_absence(reading, self._last_name, gone=_("This machine is no longer in the lab."))
        if not live:
            return self._render_static(reading.state, facts)
        trouble = tag("div", machine_parts.render_trouble(reading.trouble), key="trouble")
        return tag("div", trouble, *self._render_live(reading, reading.state, facts))

    def _render_static(self, state: LabState, facts: MachineFacts) -> Node:
        """Return the static twin."""
        raise NotImplementedError

    def _render_live(self, reading: LabReading, state: LabState, facts: MachineFacts) -> Sequence[Node]:
        """Return the live view, from top to bottom."""
        raise NotImplementedError
