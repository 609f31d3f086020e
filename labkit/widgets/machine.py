"""`MachinePanel`: one machine, its state and use, and what can be done with it.

Knows: the store's readings, the machine's acts. Must not know: libvirt.
"""

from __future__ import annotations

import contextlib
from functools import partial

from labkit.errors import LabError
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.words import state_word, under_way
from labkit.units import parse_size
from labkit.widgets import machine_parts as drawing
from labkit.widgets import parts
from labkit.widgets.live import SWITCHES, OneMachinePanel
from labkit.widgets.panel import Values
from labkit.widgets.tree import Node, tag

CONSOLE_LINES = 12


class MachinePanel(OneMachinePanel):
    """A machine: state, start, stop, pause, save; memory and vCPUs; CPU, memory and console live.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    def _prepare(self) -> None:
        self._terminal = self._machine.console
        for act in SWITCHES:
            self.on(act, partial(self._switch, act))
        self.on("configure", self._configure)
        self.on("delete", self._delete)

    # --- what is shown -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The machine's name, or the last it had."""
        self._facts(self._store.reading)
        return self._last_name

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Machine {name}").format(name=self.name)

    def line(self) -> str:
        """Return name and state."""
        facts = self._facts(self._store.reading)
        return f"{self.name} — " + (state_word(facts.state) if facts else _("gone"))

    def body(self, *, live: bool) -> Node:
        """Return the machine; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed or facts is None:
            return self._render_absence(reading, self._last_name, gone=_("This machine is no longer in the lab."))
        if not live:
            return tag("div", drawing.render_head(facts), parts.table(drawing.list_definition(facts)))
        samples = reading.samples.get(self._id, ())
        return tag(
            "div",
            tag("div", drawing.render_trouble(reading.trouble), key="trouble"),
            drawing.render_head(facts),
            parts.render_buttons(drawing.list_buttons(facts, busy=self._why_not(reading, facts.name)), label="acts"),
            parts.table([*drawing.list_definition(facts), *drawing.list_usage(facts, samples)]),
            self._console(facts),
            drawing.render_changes(facts, busy=self.busy),
        )

    def _console(self, facts: MachineFacts) -> Node:
        text = ""
        if facts.spec.console_log:
            with contextlib.suppress(LabError):
                said = self._terminal.tail(3 * CONSOLE_LINES).splitlines()
                text = "\n".join([line for line in said if line.strip()][-CONSOLE_LINES:])
        return parts.fold(
            _("Console, last lines"),
            tag("pre", text or _("Nothing on the console yet."), tabindex=0, data_follow=True),
            is_open=True,
            key="console",
        )

    # --- what is done ------------------------------------------------------------------------------

    def _switch(self, act: str, _values: Values) -> None:
        facts = self._facts(self._store.reading)
        if facts is not None:
            self.work(
                under_way(act, facts.name),
                lambda _work: self._switch_machine(self._machine, facts, act),
                expected=self._store.expected(act),
            )

    def _configure(self, values: Values) -> None:
        memory = parse_size(values.get("memory", ""), what=_("memory"))
        vcpus = drawing.parse_vcpus(values.get("vcpus", ""))
        self._propose(
            _("Change {name}").format(name=self.name),
            lambda: self._machine.configure.plan(memory=memory, vcpus=vcpus),
        )

    def _delete(self, _values: Values) -> None:
        self._propose(_("Delete {name}").format(name=self.name), self._machine.delete.plan)
