"""Sampling a disk while its guest works: what the host gives it, and what the guest asks of it.

    with disk.sampling() as samples:
        vm.run("dd if=/dev/zero of=/dev/vdb bs=64k")
    draw_growth(samples, disk.capacity)

Knows: a disk of a lab. Must not know: how sizes and counters are read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, overload

from labkit.errors import LabError
from labkit.language import _
from labkit.model.measurement import GrowthSample
from labkit.model.usage import DiskUsage

if TYPE_CHECKING:
    from labkit.disk import Disk


class Sampling(Sequence[GrowthSample]):
    """The samples of one disk, in order; taken on a thread of its own from `with` on to the end of the block.

    Args:
        disk: what is looked at. interval: seconds from one look to the next.
    """

    def __init__(self, disk: Disk, interval: float) -> None:
        self._disk = disk
        self._interval = interval
        self._samples: list[GrowthSample] = []
        self._trouble: LabError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._first: DiskUsage | None = None

    def __enter__(self) -> Self:
        self._first = self._disk.usage
        self._began = time.monotonic()
        self._take()
        self._thread = threading.Thread(target=self._run, name=f"labkit sampling {self._disk.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Take a last sample and end.

        Raises:
            LabError: the disk could not be looked at, and nothing else went wrong in the block.
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
        facts, usage = self._disk.facts, self._disk.usage
        writes, written_bytes = _since(self._first, usage)
        self._samples.append(
            GrowthSample(
                seconds=self.seconds,
                allocated=facts.allocated,
                length=facts.length,
                writes=writes,
                written_bytes=written_bytes,
            )
        )

    @overload
    def __getitem__(self, place: int) -> GrowthSample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[GrowthSample]: ...
    def __getitem__(self, place: int | slice) -> GrowthSample | Sequence[GrowthSample]:
        return self._samples[place]

    def __len__(self) -> int:
        return len(self._samples)

    def __repr__(self) -> str:
        return _("Samples of {name}: how it grew, and what its guest wrote.").format(name=self._disk.name)


def _since(first: DiskUsage | None, now: DiskUsage | None) -> tuple[int, int]:
    """Return requests and bytes written since `first`; counters that began anew count from there."""
    if now is None:
        return 0, 0
    if first is None or now.writes < first.writes:
        return now.writes, now.written_bytes
    return now.writes - first.writes, now.written_bytes - first.written_bytes
