"""A machine's serial console as an element of a page.

The kernel only tells the page which machine it is. The page then talks to Jupyter's server (`labkit.server`) and not to
the kernel, so the console works while a cell runs and after the kernel has ended.

Knows: what the front end is told. Must not know: terminals, libvirt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from labkit.language import _, language
from labkit.model.machine import MachineFacts
from labkit.widgets.tree import Node, tag

if TYPE_CHECKING:
    from labkit.lab import Lab

FRONT = "labkit/static/console.js"
"""The address of the front end on Jupyter's server."""


def render_console(lab: Lab, facts: MachineFacts) -> Node:
    """Return the console of a machine of a lab."""
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
            "./lab up, or install labkit in the environment that Jupyter runs in, and start that again."
        ),
        data_machine=json.dumps(machine),
        data_state=facts.state,
        data_texts=json.dumps(_texts(facts.name), ensure_ascii=False),
    )


def _texts(name: str) -> dict[str, str]:
    """Return the texts of the front end."""
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
        "refused": _("Jupyter's server wants you to log in again: load the page again."),
        "missing": _("Jupyter's server runs without labkit's part. Start it again with ./lab up."),
    }
