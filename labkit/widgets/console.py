"""`Console`: a machine's serial console in the notebook, and as a tab.

The panel tells the page which machine it is; the page then talks to Jupyter's server (`labkit.server`), not to the
kernel, so the console goes on while a cell runs and after the kernel has ended.

Knows: the store's readings, what the page's part is told. Must not know: terminals, libvirt.
"""

from __future__ import annotations

import json
import time

from labkit.language import _, language
from labkit.model.machine import MachineFacts
from labkit.model.words import state_word, under_way
from labkit.widgets import machine_parts as drawing
from labkit.widgets import parts
from labkit.widgets.live import OneMachinePanel
from labkit.widgets.panel import Values
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work

FRONT = "labkit/static/console.js"
"""Where Jupyter's server has the page's part of it."""


class Console(OneMachinePanel):
    """A machine's serial console: what it prints, and what you type to it.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    def _prepare(self) -> None:
        self.on("start", self._start)

    @property
    def name(self) -> str:
        """The machine's name, or the last it had."""
        self._facts(self._store.reading)
        return self._last_name

    def line(self) -> str:
        """Return name and state."""
        facts = self._facts(self._store.reading)
        return f"{self.name} — " + (state_word(facts.state) if facts else _("gone"))

    def body(self, *, live: bool) -> Node:
        """Return the console; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed or facts is None:
            return self._render_absence(reading, self._last_name, gone=_("This machine is no longer in the lab."))
        if not live:
            return tag("div", drawing.render_head(facts), tag("p", _("Its console is here when the cell has run.")))
        return tag(
            "div",
            tag("div", drawing.render_trouble(reading.trouble), key="trouble"),
            drawing.render_head(facts),
            self._render_start(facts, self._why_not(reading, facts.name)),
            self._render_console(facts),
        )

    def _render_start(self, facts: MachineFacts, busy: str | None) -> Node:
        start = [button for button in drawing.list_buttons(facts, busy=busy) if button.action == "start"]
        return tag("div", None if facts.is_active else parts.render_buttons(start, label="start"), key="start")

    def _render_console(self, facts: MachineFacts) -> Node:
        lab = self._machine.lab
        machine = {
            "lab": lab.name,
            "machine": facts.id,
            "home": str(lab.home.parent),
            "uri": lab.uri,
            "language": language(),
        }
        return tag(
            "labkit-console",
            key="console",
            data_module=FRONT,
            data_missing=_(
                "The console needs labkit's part in Jupyter's server, which is not there. Start JupyterLab with "
                "./lab up, or install labkit in the environment that Jupyter runs in, and start that anew."
            ),
            data_machine=json.dumps(machine),
            data_state=facts.state,
            data_texts=json.dumps(_texts(facts.name), ensure_ascii=False),
        )

    def _start(self, _values: Values) -> None:
        def run(_work: Work) -> None:
            began = time.monotonic()
            self._machine.start()
            self._store.remember("start", time.monotonic() - began)

        self.work(under_way("start", self.name), run, expected=self._store.expected("start"))


def _texts(name: str) -> dict[str, str]:
    """Return what the page's part says."""
    return {
        "label": _("Console of {name}").format(name=name),
        "keys": _(
            "Keys go to the guest. Ctrl+Shift+↓ leaves the console; Ctrl+Shift+C copies what is selected, "
            "Ctrl+Shift+V pastes."
        ),
        "tab": _("Open as a tab"),
        "tabTip": _("The same console beside the notebook; it stays when the notebook is closed."),
        "aloud": _("For a screen reader"),
        "on": _("Joined to the serial line of {name}.").format(name=name),
        "off": _("{name} is not running. Start it: the console goes on by itself.").format(name=name),
        "gone": _("{name} is no longer in the lab.").format(name=name),
        "lost": _("Jupyter's server does not answer; trying again."),
        "refused": _("Jupyter's server wants you to log in again: load the page anew."),
        "missing": _("Jupyter's server runs without labkit's part. Start it anew with ./lab up."),
    }
