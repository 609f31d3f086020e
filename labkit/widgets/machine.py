"""`MachinePanel`: one machine, its state and use, and what can be done with it.

It follows the machine by its id: a new name is shown, a deleted machine is told of.

Knows: the store's readings, the machine's acts. Must not know: libvirt.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, overload

from labkit.errors import BadInput, LabError
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.words import state_word
from labkit.plans.plan import Plan
from labkit.units import parse_size
from labkit.widgets import machine_parts as drawing
from labkit.widgets import parts
from labkit.widgets.panel import Panel, Values
from labkit.widgets.store import Reading, Store
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.machine import Machine

CONSOLE_LINES = 12

_SWITCHES = {
    "start": "start",
    "stop": "shutdown",
    "pause": "suspend",
    "resume": "resume",
    "save": "managedsave",
    "kill": "destroy",
}
"""The acts of a button, and what virsh calls them."""


class MachinePanel(Panel):
    """A machine: state, start, stop, pause, save; memory and vCPUs; CPU, memory and console live.

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
        self._machine, self._terminal = machine, machine.console
        self._lab = machine.lab
        self._id, self._last_name = machine.id, machine.name
        self._store = Store.of(self._lab)
        self._store.read()
        for act in _SWITCHES:
            self.on(act, partial(self._switch, act))
        self.on("configure", self._configure)
        self.on("delete", self._delete)

    # --- what is shown -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The machine's name, or the last it had."""
        facts = self._facts(self._store.reading)
        if facts is not None:
            self._last_name = facts.name
        return self._last_name

    def line(self) -> str:
        """Return name and state."""
        facts = self._facts(self._store.reading)
        return f"{self.name} — {state_word(facts.state) if facts else _('gone')}"

    def body(self, *, live: bool) -> Node:
        """Return the machine; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed:
            return drawing.render_notice(self.name, _("The lab is closed. Lab.open() opens it again."))
        if facts is None and reading.trouble is None:
            return drawing.render_notice(self.name, _("This machine is no longer in the lab."))
        if facts is None:
            return drawing.render_notice(self.name, _("The lab cannot be read."), reading.trouble)
        if not live:
            return tag("div", drawing.render_head(facts), parts.table(drawing.list_definition(facts)))
        samples = reading.samples.get(self._id, ())
        return tag(
            "div",
            tag("div", drawing.render_trouble(reading.trouble), key="trouble"),
            drawing.render_head(facts),
            parts.render_buttons(drawing.list_buttons(facts, busy=self._why_not(reading)), label="acts"),
            parts.table([*drawing.list_definition(facts), *drawing.list_usage(facts, samples)]),
            self._console(facts),
            drawing.render_changes(facts, busy=self.busy),
        )

    def _facts(self, reading: Reading) -> MachineFacts | None:
        machines = reading.state.machines.values() if reading.state else ()
        return next((machine for machine in machines if machine.id == self._id), None)

    def _why_not(self, reading: Reading) -> str | None:
        """Return why nothing can be done now, or None."""
        if self.busy is None and reading.state is not None and self.name in reading.state.busy:
            return _("Another act is at work on {name}.").format(name=self.name)
        return self.busy

    def _console(self, facts: MachineFacts) -> Node:
        text = ""
        if facts.spec.console_log:
            with contextlib.suppress(LabError):
                text = self._terminal.tail(CONSOLE_LINES)
        return parts.fold(
            _("Console, last lines"),
            tag("pre", text or _("Nothing on the console yet."), tabindex=0, data_follow=True),
            is_open=True,
            key="console",
        )

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab."""
        self._store.read()

    def displayed(self) -> None:
        """Follow the lab."""
        self._store.follow(self)
        self._store.poke()

    def _switch(self, act: str, _values: Values) -> None:
        def run(_work: Work) -> None:
            began = time.monotonic()
            call()
            self._store.remember(act, time.monotonic() - began)
            if facts is not None:
                self.tell(shlex.join(["virsh", _SWITCHES[act], facts.spec.domain_name]))

        call: Callable[[], object] = getattr(self._machine, act)
        facts = self._facts(self._store.reading)
        self.work(drawing.under_way(act, self.name), run, expected=self._store.expected(act))

    def _configure(self, values: Values) -> None:
        memory = parse_size(values.get("memory", ""), what=_("memory"))
        vcpus = values.get("vcpus", "").strip()
        if not vcpus.isdecimal():
            raise BadInput(
                _("{text!r} is not a number of vCPUs.").format(text=vcpus), _("Write a whole number from 1.")
            )
        self._plan_for(_("Change {name}"), lambda: self._machine.configure.plan(memory=memory, vcpus=int(vcpus)))

    def _delete(self, _values: Values) -> None:
        self._plan_for(_("Delete {name}"), self._machine.delete.plan)

    def _plan_for(self, label: str, make: Callable[[], Plan]) -> None:
        label = label.format(name=self.name)
        self.work(_("Planning"), lambda _work: self.propose(make(), self._carry_out, label=label))

    def _carry_out(self, plan: Plan, work: Work) -> tuple[str, ...]:
        outcome = self._lab.carry_out(
            plan, on_progress=lambda progress: self.report(work, progress), cancel=work.cancel
        )
        return outcome.commands
