"""Samples taken on their own thread while guests work; and samples of a growing disk.

    with disk.sampling() as samples:
        vm.run("dd if=/dev/zero of=/dev/vdb bs=64k")
    draw_growth(samples, disk.capacity)

Knows: the questions that a sampled object answers. Must not know: how sizes and counters are read, the façade.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, Self, TypeVar, overload

from labkit.errors import LabError
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.measurement import GrowthSample
from labkit.model.usage import DiskUsage

S = TypeVar("S")


class Samples(Sequence[S], ABC, Generic[S]):
    """Samples in order, taken on their own thread during a `with` block.

    Args:
        interval: seconds between two samples.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._taken: list[S] = []
        self._trouble: LabError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0

    @abstractmethod
    def _begin(self) -> None:
        """Store what the samples are compared with."""

    @abstractmethod
    def _look(self) -> S:
        """Return a sample."""

    def __enter__(self) -> Self:
        self._begin()
        self._began = time.monotonic()
        self._take()
        self._thread = threading.Thread(target=self._run, name="labkit sampling", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Take a last sample and end the thread.

        Raises:
            LabError: taking a sample failed, and nothing else went wrong in the block.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if kind is None:
            if self._trouble is not None:
                raise self._trouble
            self._take()

    @property
    def seconds(self) -> float:
        """Seconds since the sampling began, to note when something was done."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._take()
            except LabError as trouble:  # raised at the end of the block; on this thread nobody would see it
                self._trouble = trouble
                return

    def _take(self) -> None:
        self._taken.append(self._look())

    @overload
    def __getitem__(self, place: int) -> S: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[S]: ...
    def __getitem__(self, place: int | slice) -> S | Sequence[S]:
        return self._taken[place]

    def __len__(self) -> int:
        return len(self._taken)


class Growing(Protocol):
    """A disk that can be sampled."""

    name: str

    @property
    def facts(self) -> DiskFacts:
        """Its present facts."""

    @property
    def usage(self) -> DiskUsage | None:
        """What its running guest has done with it, or None."""


class Sampling(Samples[GrowthSample]):
    """The samples of one disk: what the host gives it, and what its guest asks of it.

    Args:
        disk: the sampled disk. interval: seconds between two samples.
    """

    def __init__(self, disk: Growing, interval: float) -> None:
        super().__init__(interval)
        self._disk = disk
        self._first: DiskUsage | None = None

    def _begin(self) -> None:
        self._first = self._disk.usage

    def _look(self) -> GrowthSample:
        facts, usage = self._disk.facts, self._disk.usage
        writes, written_bytes = _since(self._first, usage)
        return GrowthSample(
            seconds=self.seconds,
            allocated=facts.allocated,
            length=facts.length,
            writes=writes,
            written_bytes=written_bytes,
        )

    def __repr__(self) -> str:
        return _("Samples of {name}: how it grew, and what its guest wrote.").format(name=self._disk.name)


def _since(first: DiskUsage | None, now: DiskUsage | None) -> tuple[int, int]:
    """Return requests and bytes written since `first`; counters that have been reset count from zero."""
    if now is None:
        return 0, 0
    if first is None or now.writes < first.writes:
        return now.writes, now.written_bytes
    return now.writes - first.writes, now.written_bytes - first.written_bytes
