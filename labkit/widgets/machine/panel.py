"""`MachinePanel`: one machine, its state and use, and what can be done with it.

Knows: the store's readings, the machine's acts. Must not know: libvirt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from labkit.errors import LabError
from labkit.language import _
from labkit.model.lineage import read_lineage
from labkit.model.losses import losses_of
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.model.switch_excuses import why_not_kill
from labkit.model.words import under_way
from labkit.units import parse_size
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.console.parts import render_console
from labkit.widgets.live import CAN_CANCEL, SWITCHES, OneMachinePanel
from labkit.widgets.loss_parts import render_losses, render_losses_of, why_not_start
from labkit.widgets.machine import parts as drawing
from labkit.widgets.reading import LabReading
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
        self._has_console = False
        for act in SWITCHES:
            self.on(act, partial(self._switch, act))
        self.on("console", self._toggle_console)
        self.on("configure", self._configure)
        self.on("delete", self._delete)

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Machine {name}").format(name=self.name)

    def line(self) -> str:
        """Return the name, the state, and which of its images are lost."""
        state, facts = self._store.reading.state, self._facts(self._store.reading)
        losses = losses_of(read_lineage(state), facts.name) if state and facts else ()
        return "\n".join((super().line(), *(loss.sentence for loss in losses)))

    def _render_static(self, state: LabState, facts: MachineFacts) -> Node:
        losses = render_losses(losses_of(read_lineage(state), facts.name))
        return tag("div", drawing.render_head(facts), losses, parts.table(drawing.list_definition(facts)))

    def _render_live(self, reading: LabReading, state: LabState, facts: MachineFacts) -> Sequence[Node]:
        samples = reading.samples.get(self._id, ())
        busy, lineage = self._why_not(reading, facts.name), read_lineage(state)
        buttons = [
            *drawing.list_switches(facts, busy=busy, lost=why_not_start(losses_of(lineage, facts.name), facts.name)),
            self._console_button(facts),
            drawing.delete_button(state, facts, busy=busy),
        ]
        buttons.sort(key=lambda button: button.kind == "danger")  # the dangerous ones last
        return (
            drawing.render_head(facts),
            tag("div", render_losses_of(lineage, facts.name, busy=busy), key="losses"),
            parts.render_buttons(buttons, label="acts"),
            parts.table([*drawing.list_definition(facts), *drawing.list_usage(facts, samples)]),
            tag("div", self._render_console(facts), key="console"),
            drawing.render_changes(facts, busy=busy),
        )

    def _console_button(self, facts: MachineFacts) -> parts.Button:
        if self._has_console:
            return parts.Button(label=_("Close the console"), action="console", tip=_("The guest runs on without it."))
        return parts.Button(
            label=_("Console"),
            action="console",
            excuse=why_not_kill(facts),
            tip=_("Type to the guest on its serial console, here or in a tab."),
        )

    def _render_console(self, facts: MachineFacts) -> Node:
        """Return the console if the reader has opened it, else what it printed last."""
        if self._has_console:
            return tag(
                "div",
                render_console(self._lab, facts),
                key="open",
                role="group",
                aria_label=_("Console of {name}").format(name=facts.name),
                tabindex=-1,
                data_appear=True,
            )
        text = ""
        if facts.spec.console_log:
            with contextlib.suppress(LabError):
                said = self._terminal.tail(3 * CONSOLE_LINES).splitlines()
                text = "\n".join([line for line in said if line.strip()][-CONSOLE_LINES:])
        return parts.fold(
            _("Console, last lines"),
            tag("pre", text or _("Nothing on the console yet."), tabindex=0, data_follow=True),
            is_open=True,
            key="tail",
        )

    # --- what is done ------------------------------------------------------------------------------

    def _toggle_console(self, _values: Values) -> None:
        self._has_console = not self._has_console

    def _switch(self, act: str, _values: Values) -> None:
        facts = self._facts(self._store.reading)
        if facts is not None:
            self.acting.work(
                under_way(act, facts.name),
                lambda work: self._switch_machine(self._machine, facts, act, work),
                can_cancel=act in CAN_CANCEL,
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
