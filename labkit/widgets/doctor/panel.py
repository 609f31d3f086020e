"""`DoctorPanel`: whether anything is in the way of the lab, why, and which command repairs it.

The findings differ from computer to computer, so the static twin contains none. The examination takes a while and runs
on the panel's own thread.

Knows: diagnoses. Must not know: how anything is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.language import _
from labkit.model.diagnosis import Check, Diagnosis, Status
from labkit.widgets import act_parts, parts
from labkit.widgets.panel import Panel, lab_of
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab


class DoctorPanel(Panel):
    """The lab's check-up: what was checked, the result, what to type.

    Args:
        lab: the lab to examine.
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab_of(lab)
        self._diagnosis: Diagnosis | None = None
        self.on("again", lambda _values: self._look())

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Is anything in the way of the lab?")

    def line(self) -> str:
        """Return what the panel is about."""
        return _("is anything in the way of the lab?")

    def body(self, *, live: bool) -> Node:
        """Return the checks; see `Panel.body`."""
        head = tag("div", tag("h3", self.title()), class_="labkit-head")
        if not live:
            return tag("div", head, tag("p", _("The answer differs from computer to computer: run the cell.")))
        if self._diagnosis is None:
            return tag("div", head)  # what it is at is told below
        checks = self._diagnosis.checks
        worse = [check for check in checks if check.status is not Status.OK]
        fine = [check for check in checks if check.status is Status.OK]
        return tag(
            "div",
            head,
            tag("p", tag("strong", self._diagnosis.verdict), role="status"),
            tag("ul", *[_check(check) for check in worse], class_="labkit-checks") if worse else None,
            parts.fold(
                _("What is fine: {count}").format(count=len(fine)),
                tag("ul", *[_check(check) for check in fine], class_="labkit-checks"),
                key="fine",
            ),
            parts.render_buttons([parts.Button(label=_("Look again"), action="again", busy=self.busy)], label="doctor"),
        )

    def displayed(self) -> None:
        """Examine the lab, once."""
        if self._diagnosis is None:
            self._look()
            self.redraw()

    def _look(self) -> None:
        def examine(_work: Work) -> None:
            from labkit.doctor import examine

            self._diagnosis = examine(lab=self._lab)

        self.acting.work(_("Looking at this computer"), examine)


def _check(check: Check) -> Node:
    words = {
        Status.OK: ("✓", _("fine"), "good"),
        Status.NOTE: ("•", _("worth knowing"), "calm"),
        Status.TROUBLE: ("✗", _("in the way"), "bad"),
    }
    shape, word, tone = words[check.status]
    return tag(
        "li",
        parts.badge(word, shape=shape, tone=tone),
        " ",
        tag("span", check.what),
        tag("p", _("cause: {sentence}").format(sentence=check.cause)) if check.cause else None,
        act_parts.render_commands([check.repair]) if check.repair else None,
        key=check.slug,
    )
