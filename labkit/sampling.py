"""Sampling while guests work: a disk that grows, and clones that go their own ways.

    with disk.sampling() as samples:
        vm.run("dd if=/dev/zero of=/dev/vdb bs=64k")
    draw_growth(samples, disk.capacity)

    with Divergence([full, *links]) as samples:
        for vm in (full, *links):
            vm.run("dd if=/dev/urandom of=/root/mine bs=1M count=20; sync")
    draw_divergence(samples)

Knows: disks and machines of a lab, its lineage. Must not know: how sizes and counters are read.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

from labkit.errors import LabError
from labkit.language import _
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.measurement import DivergenceSample, GrowthSample
from labkit.model.usage import DiskUsage

if TYPE_CHECKING:
    from labkit.disk import Disk
    from labkit.machine import Machine

S = TypeVar("S")


class Samples(Sequence[S], ABC, Generic[S]):
    """Samples in order; taken on a thread of its own from `with` on to the end of the block.

    Args:
        interval: seconds from one look to the next.
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
        """Remember what the samples are compared with."""

    @abstractmethod
    def _look(self) -> S:
        """Return a sample of now."""

    def __enter__(self) -> Self:
        self._begin()
        self._began = time.monotonic()
        self._take()
        self._thread = threading.Thread(target=self._run, name="labkit sampling", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Take a last sample and end.

        Raises:
            LabError: a look failed, and nothing else went wrong in the block.
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
        """Seconds since the sampling began: to remember when something was done."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._take()
            except LabError as trouble:  # told at the end of the block: here nobody would hear of it
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


class Sampling(Samples[GrowthSample]):
    """The samples of one disk: what the host gives it, and what its guest asks of it.

    Args:
        disk: what is looked at. interval: seconds from one look to the next.
    """

    def __init__(self, disk: Disk, interval: float) -> None:
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


class Divergence(Samples[DivergenceSample]):
    """Samples of machines of one lab: how each goes its own way, and how much of the past they still share.

    Args:
        machines: one or more, all of one lab. interval: seconds from one look to the next.

    Attributes:
        linked: the names of those that were linked clones when the sampling began.
    """

    def __init__(self, machines: Iterable[Machine], interval: float = 0.5) -> None:
        super().__init__(interval)
        self._machines = list(machines)
        self._lab = self._machines[0].lab
        self.linked: frozenset[str] = frozenset()

    def _begin(self) -> None:
        lineage = self._lab.lineage
        self.linked = frozenset(name for name in self._names() if lineage.original(name))

    def _look(self) -> DivergenceSample:
        return look(read_lineage(self._lab.state), self._names(), self.seconds)

    def _names(self) -> list[str]:
        return [machine.name for machine in self._machines]

    def __repr__(self) -> str:
        return _("Samples of {count} machines: what each takes of its own, and what they share.").format(
            count=len(self._machines)
        )


def look(lineage: Lineage, names: Iterable[str], seconds: float) -> DivergenceSample:
    """Return what machines take of the host, from the lineage.

    What an image below a linked clone takes is shared, even if the original itself is not among the machines.
    """
    images, wanted = lineage.state.images, set(names)
    own = dict.fromkeys(sorted(wanted & set(lineage.named)), 0)
    shared = 0
    for path, users in lineage.users.items():
        if path not in images or not users & wanted:
            continue
        if len(users) == 1:
            own[next(iter(users))] += images[path].allocated
        else:
            shared += images[path].allocated
    return DivergenceSample(seconds=seconds, own=own, shared=shared)


def _since(first: DiskUsage | None, now: DiskUsage | None) -> tuple[int, int]:
    """Return requests and bytes written since `first`; counters that began anew count from there."""
    if now is None:
        return 0, 0
    if first is None or now.writes < first.writes:
        return now.writes, now.written_bytes
    return now.writes - first.writes, now.written_bytes - first.written_bytes
