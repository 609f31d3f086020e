"""`Console`: a machine's serial console in the notebook, and as a tab.

Knows: the store's readings, how a machine is started. Must not know: terminals, libvirt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.model.words import under_way
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.console.parts import render_console
from labkit.widgets.live import OneMachinePanel
from labkit.widgets.machine import parts as drawing
from labkit.widgets.reading import LabReading
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work


class Console(OneMachinePanel):
    """A machine's serial console: what it prints, and what you type to it.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    def _prepare(self) -> None:
        self.on("start", self._start)

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Console of {name}").format(name=self.name)

    def _render_static(self, _state: LabState, facts: MachineFacts) -> Node:
        return tag("div", drawing.render_head(facts), tag("p", _("Its console is here when the cell has run.")))

    def _render_live(self, reading: LabReading, _state: LabState, facts: MachineFacts) -> Sequence[Node]:
        busy = self._why_not(reading, facts.name)
        start = [button for button in drawing.list_switches(facts, busy=busy) if button.action == "start"]
        return (
            drawing.render_head(facts, title=self.title()),
            tag("div", None if facts.is_active else parts.render_buttons(start, label="start"), key="start"),
            render_console(self._lab, facts),
        )

    def _start(self, _values: Values) -> None:
        def run(_work: Work) -> None:
            began = time.monotonic()
            self._machine.start()
            self._store.remember("start", time.monotonic() - began)

        self.acting.work(under_way("start", self.name), run, expected=self._store.expected("start"))
