"""`Refusal`: why an act is not done, who depends on what it would harm, and what to do first.

Knows: nothing. Must not know: which acts there are, how a refusal is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OfferKind(StrEnum):
    """What a panel can do about a refusal."""

    ACCEPT = "accept"
    """Take the frozen images as they are now."""
    COPY = "copy"
    """Save what can be read into another disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A way out of a refusal that is an act itself.

    Attributes:
        machine: the machine whose frozen images it is about, "" for a free disk's. disk: the disk it is about.
    """

    kind: OfferKind
    machine: str
    disk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an act is not done, and how to go on.

    Attributes:
        why: one sentence that names the thing and its state.
        ways_out: what to do first, each a sentence or a call to type.
        offers: those of them that are acts themselves, for panels.
        for_calls: further ways out for those who type a call; the forms of panels have no field for them.
        dependants: names of those who depend on it.
    """

    why: str
    ways_out: tuple[str, ...] = ()
    for_calls: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    dependants: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """All ways out as one line."""
        return " ".join((*self.ways_out, *self.for_calls))
