"""Sampling clones while they write: how each goes its own way, and how much of the past they still share.

    with Divergence([full, *links]) as samples:
        for vm in (full, *links):
            vm.run("dd if=/dev/urandom of=/root/mine bs=1M count=20; sync")
    draw_divergence(samples)

Knows: machines of one lab, its lineage. Must not know: how sizes are read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self, overload

from labkit.errors import LabError
from labkit.language import _
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.measurement import DivergenceSample

if TYPE_CHECKING:
    from labkit.machine import Machine


class Divergence(Sequence[DivergenceSample]):
    """Samples of machines of one lab, in order; taken on a thread of its own from `with` on to the end of the block.

    Args:
        machines: one or more, all of one lab. interval: seconds from one look to the next.

    Attributes:
        linked: the names of those that were linked clones when the sampling began.
    """

    def __init__(self, machines: Iterable[Machine], interval: float = 0.5) -> None:
        self._machines = list(machines)
        self._lab = self._machines[0].lab
        self._interval = interval
        self._samples: list[DivergenceSample] = []
        self._trouble: LabError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self.linked: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        lineage = self._lab.lineage
        self.linked = frozenset(name for name in self._names() if lineage.original(name))
        self._began = time.monotonic()
        self._take()
        self._thread = threading.Thread(target=self._run, name="labkit divergence", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Take a last sample and end.

        Raises:
            LabError: the lab could not be read, and nothing else went wrong in the block.
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

    def _names(self) -> list[str]:
        return [machine.name for machine in self._machines]

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._take()
            except LabError as trouble:  # told at the end of the block: here nobody would hear of it
                self._trouble = trouble
                return

    def _take(self) -> None:
        sample = look(read_lineage(self._lab.state), self._names(), self.seconds)
        self._samples.append(sample)

    @overload
    def __getitem__(self, place: int) -> DivergenceSample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[DivergenceSample]: ...
    def __getitem__(self, place: int | slice) -> DivergenceSample | Sequence[DivergenceSample]:
        return self._samples[place]

    def __len__(self) -> int:
        return len(self._samples)

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


__all__ = ["Divergence", "look"]
