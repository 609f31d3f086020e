"""What experiments measure, as values: how a disk grew, how long something took, what a format costs.

Knows: numbers, and when two series of them differ. Must not know: how anything is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from labkit.model.image import Allocation, Format


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthSample:
    """A disk at one instant while its guest works.

    Attributes:
        seconds: since the sampling began.
        allocated, length: bytes, all layers together; see `labkit.model.image`.
        writes, written_bytes: what the guest asked for since the sampling began, as the hypervisor counts;
            0 where no guest runs.
    """

    seconds: float
    allocated: int
    length: int
    writes: int = 0
    written_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceSample:
    """How much space of the host clones and their original take at one instant.

    Attributes:
        seconds: since the sampling began.
        own: bytes allocated to the images that only one machine needs, by its name.
        shared: bytes allocated to the images that several of them need, each counted once.
    """

    seconds: float
    own: Mapping[str, int]
    shared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a disk was written to over one stretch of time: its seconds, and requests and bytes a second."""

    start: float
    end: float
    writes: float
    written_bytes: float


def rates(samples: Sequence[GrowthSample], *, least: float = 0.5) -> tuple[Rate, ...]:
    """Return the rates between samples, over stretches of at least `least` seconds."""
    found: list[Rate] = []
    last = samples[0] if samples else None
    for sample in samples[1:]:
        if last is None or (span := sample.seconds - last.seconds) < least:
            continue
        found.append(
            Rate(
                start=last.seconds,
                end=sample.seconds,
                writes=(sample.writes - last.writes) / span,
                written_bytes=(sample.written_bytes - last.written_bytes) / span,
            )
        )
        last = sample
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the same work took, for several runs.

    Attributes:
        slug: what was done: "fixed", "dynamic", "on-base", ….
        first, again: seconds of each run: writing blocks for the first time, and once more.
    """

    slug: str
    first: tuple[float, ...]
    again: tuple[float, ...]

    @property
    def longest(self) -> float:
        """The seconds of the run that took longest."""
        return max(*self.first, *self.again)

    @property
    def first_costs_more(self) -> bool:
        """Whether first writes took longer than rewrites, beyond doubt: every first write longer than every rewrite."""
        return is_slower(self.first, self.again)


def is_slower(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one series of durations is longer than another beyond doubt: the spreads do not overlap."""
    return bool(one) and bool(other) and min(one) > max(other)


SHORTEST_STANDSTILL: Final = 1.0
"""Seconds that a pause must last at least to be a standstill."""

STANDS_OUT: Final = 5
"""How many times as long as the longest pause before it a pause must be to stand out."""


def stood_still(moments: Sequence[float], event: float) -> bool | None:
    """Whether a regular heart stood still after an event, judged by how regular it was before.

    Args:
        moments: when it beat, rising, and last when the listening ended; seconds by one clock.
        event: by the same clock.

    Returns:
        None: it cannot be told. It did not beat before, or so irregularly that even silence up to the end would not
        stand out.
    """
    pauses = [(later, later - earlier) for earlier, later in pairwise(moments)]
    before = [pause for at, pause in pauses if at <= event]
    after = [pause for at, pause in pauses if at > event]
    if not before or not after:
        return None
    least = max(SHORTEST_STANDSTILL, STANDS_OUT * max(before))
    if max(after) >= least:
        return True
    return False if moments[-1] - event >= least else None


def median(values: Sequence[float]) -> float:
    """Return the middle value of a series that is not empty."""
    return statistics.median(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """What was measured of a disk format on this host.

    Attributes:
        capacity, length, allocated: bytes, of an empty disk. seconds: to create it.
        boots: whether a machine booted from such a disk; None: not tried, since no machine can use it.
    """

    format: Format
    allocation: Allocation
    capacity: int
    length: int
    allocated: int
    seconds: float
    boots: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much a busy guest got done in a while, and how much of the CPU it believes it had.

    Attributes:
        rate: rounds of its loop a second.
        busy, stolen: parts of the time (0 to 1) in which, as its kernel says, its CPU worked, and in which the
            hypervisor gave that CPU to others.
    """

    rate: float
    busy: float
    stolen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a CPU one guest got, alone and beside others, in several runs."""

    name: str
    alone: tuple[Load, ...]
    together: tuple[Load, ...]

    @property
    def is_less(self) -> bool:
        """Whether it got less beside the others, beyond doubt: the spreads do not overlap."""
        return is_slower([load.rate for load in self.alone], [load.rate for load in self.together])

    @property
    def part(self) -> float:
        """How much it got done beside the others, as a part of what it got done alone (medians)."""
        alone = median([load.rate for load in self.alone])
        return median([load.rate for load in self.together]) / alone if alone else 0.0

    @property
    def busy(self) -> float:
        """How busy it believed it was beside the others: a part of the time, 0 to 1."""
        return median([load.busy for load in self.together])

    @property
    def stolen(self) -> float:
        """How much of the time it says was taken from it beside the others, 0 to 1."""
        return median([load.stolen for load in self.together])
