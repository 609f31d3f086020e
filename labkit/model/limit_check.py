"""Whether a guest was held to the limit of its disk, from what the hypervisor counted while it worked.

Knows: numbers and their words. Must not know: how anything was counted or limited.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.language import _
from labkit.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """What a guest did with a disk in a while, against its limit. As text it is a sentence without what was measured.

    Attributes:
        iops, bytes_per_second: the limit, in one of them; the other is 0.
        done: requests, or bytes, in `seconds`.
    """

    iops: int = 0
    bytes_per_second: int = 0
    done: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether it kept to the limit; one second's worth may have been saved up."""
        return self.done <= (self.iops or self.bytes_per_second) * (self.seconds + 1)

    def __repr__(self) -> str:
        limit = (
            _("{number} requests a second").format(number=self.iops)
            if self.iops
            else _("{size} a second").format(size=format_size(self.bytes_per_second))
        )
        if not self.done:
            return _("The guest did nothing, so the limit of {limit} was not tried.").format(limit=limit)
        if self.holds:
            return _("The guest was limited to {limit} while it ran.").format(limit=limit)
        return _("The guest was faster than its limit of {limit}.").format(limit=limit)
