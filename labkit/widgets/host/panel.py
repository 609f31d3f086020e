"""`HostPanel`: this computer, who runs the guests on it, and how we know.

Its facts differ from computer to computer, so the static twin only names them. Finding them out may run a probe guest,
on the panel's own thread.

Knows: the host's facts. Must not know: how they are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.language import _
from labkit.model.host import HostFacts
from labkit.model.machine import Accelerator
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.panel import Panel, lab_of
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab


class HostPanel(Panel):
    """The host: accelerator and why, what the guests stand on, memory and CPUs, versions.

    Args:
        lab: the lab whose hypervisor is asked.
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab_of(lab)
        self._facts: HostFacts | None = None
        self.on("again", lambda _values: self._look())

    def title(self) -> str:
        """Return what the panel is called."""
        return _("This host")

    def line(self) -> str:
        """Return what the panel is about."""
        return _("this computer, and who runs the guests on it")

    def body(self, *, live: bool) -> Node:
        """Return the host; see `Panel.body`."""
        head = tag("div", tag("h3", self.title()), class_="labkit-head")
        if not live:
            return tag("div", head, tag("p", _("The facts differ from computer to computer: run the cell.")))
        if self._facts is None:
            return tag("div", head, tag("p", _("Looking at this computer…"), role="status"))
        facts = self._facts
        rows: list[tuple[str, Child]] = [
            (_("instructions are run by"), _accelerator(facts)),
            (_("hypervisor"), facts.hypervisor_words),
            ("CPU", f"{facts.cpu} × {facts.cpus}"),
            (
                _("memory"),
                _("{free} of {all} available").format(
                    all=format_size(facts.memory), free=format_size(facts.memory_available)
                ),
            ),
        ]
        return tag(
            "div",
            head,
            parts.table(rows),
            tag("h4", _("What the guests stand on")),
            tag("p", _("Open a floor to see how we know."), class_="labkit-quiet"),
            _floors(facts),
            parts.fold(_("How we know the kind of hypervisor"), _sentences(facts.evidence), key="kind"),
            parts.fold(
                _("Versions"),
                parts.table((name, version or _("not there")) for name, version in facts.version_table),
                key="versions",
            ),
            parts.render_buttons([parts.Button(label=_("Look again"), action="again", busy=self.busy)], label="host"),
        )

    def displayed(self) -> None:
        """Find the facts out, once."""
        if self._facts is None:
            self._look()
            self.redraw()

    def _look(self) -> None:
        def find_out(_work: Work) -> None:
            self._facts = self._lab.host

        self.acting.work(_("Looking at this computer"), find_out)


def _accelerator(facts: HostFacts) -> Node:
    if facts.accelerator is Accelerator.KVM:
        badge = parts.badge(_("the CPU itself (KVM)"), shape="■", tone="calm")
    else:
        badge = parts.badge(_("a translator (TCG)"), shape="□", tone="calm")
    return tag("div", badge, tag("p", facts.why))


def _floors(facts: HostFacts) -> Node:
    """Return the floors: the guests on top, the hardware at the bottom."""
    floors = [
        tag("li", parts.fold(floor.name, _sentences(floor.evidence), key=floor.name) if floor.evidence else floor.name)
        for floor in reversed(facts.floors)
    ]
    return tag("ul", tag("li", tag("em", _("the guests"))), *floors, class_="labkit-floors")


def _sentences(sentences: tuple[str, ...]) -> Node:
    return tag("ul", *[tag("li", sentence) for sentence in sentences])
