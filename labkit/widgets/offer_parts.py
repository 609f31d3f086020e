"""The ways out of a refusal that a panel offers itself: a button instead of a call to type.

Each is a function of values. Knows: refusals. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from labkit.errors import LabError, Refused
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.plans.broken import why_broken
from labkit.plans.refusal import Offer, OfferKind, Refusal
from labkit.widgets import parts
from labkit.widgets.parts import Button
from labkit.widgets.tree import Child, tag

ACCEPT, COPY = "accept-changes", "copy-as-is"


def offers_of(error: LabError) -> Sequence[Offer]:
    """Return the offers of the refusal in an error."""
    if not isinstance(error, Refused):
        return ()
    refusal: Refusal | None = error.plan.refusal if error.plan is not None else error.refusal
    return refusal.offers if refusal else ()


def render_offers(offers: Sequence[Offer], *, busy: str | None) -> Child:
    """Return the buttons of offers; nothing if there are none."""
    return parts.render_buttons([_button(offer, busy) for offer in offers], label="offers") if offers else None


def render_refusal(refusal: Refusal | None, *, busy: str | None) -> Child:
    """Return why something cannot be used, with the buttons of its offers; nothing if there are none."""
    if refusal is None or not refusal.offers:
        return None
    said = tag("p", tag("strong", "⚠ "), refusal.why)
    return tag("div", said, render_offers(refusal.offers, busy=busy), class_="labkit-note", role="status")


def find_changed(state: LabState, facts: MachineFacts, changed: Container[str]) -> Refusal | None:
    """Return the refusal of a machine's disks or of its snapshots' because another program has written to an image."""
    nodes = state.tree_of(facts.name).nodes.values()
    disks = [*facts.spec.disks, *(disk for node in nodes for disk in node.disks)]
    return why_broken(state, facts.name, disks, changed)


def _button(offer: Offer, busy: str | None) -> Button:
    if offer.kind is OfferKind.COPY:
        return Button(
            label=_("Save what can be read as a new disk…"),
            action=COPY,
            subject=offer.disk,
            busy=busy,
            tip=_("The disk stays as it is; the new one holds what can be read of it now."),
        )
    return Button(
        label=_("Take it as it is now…"),
        action=ACCEPT,
        subject=f"{offer.machine}/{offer.disk}",
        busy=busy,
        tip=_("From then on what the frozen images hold now counts, for all who stand on them."),
    )
