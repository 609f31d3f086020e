"""What steps are carried out with: the hypervisor, a limit, and who hears of it.

Knows: the rooms below. Must not know: the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from labkit.engine.instances import Instances
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshots import Snapshots
from labkit.limits import Limit


class Copying(TypedDict):
    """What every call that copies data takes; see `Hands`."""

    on_bytes: Callable[[int, int], None]
    limit: Limit
    inherit: tuple[int, ...]


def _ignore(_sentence: str) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What steps are carried out with.

    Attributes:
        domains, snapshots: the hypervisor's. instances: the lab's others, for what goes over.
        on_bytes: hears of (bytes done, in all). limit: time and cancellation.
        inherit: descriptors of locks that child processes keep holding if we die.
        tell: hears a sentence about what did not come out as planned, though the act has been completed.
    """

    domains: Domains
    snapshots: Snapshots
    on_bytes: Callable[[int, int], None]
    limit: Limit
    inherit: tuple[int, ...] = ()
    tell: Callable[[str], None] = _ignore
    instances: Instances

    @property
    def copying(self) -> Copying:
        """The last three, as such calls name them."""
        return {"on_bytes": self.on_bytes, "limit": self.limit, "inherit": self.inherit}
