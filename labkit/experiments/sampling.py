"""Sampling clones as they diverge.

    with Divergence([full, *links]) as samples:
        for vm in (full, *links):
            vm.run("dd if=/dev/urandom of=/root/mine bs=1M count=20; sync")
    draw_divergence(samples)

How a disk grows is sampled by `disk.sampling()`.
Knows: machines of a lab, its lineage. Must not know: how sizes are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from labkit.engine.sampling import Samples
from labkit.experiments.given import check_machines
from labkit.language import ngettext
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.measurement import DivergenceSample
from labkit.units import check_seconds

if TYPE_CHECKING:
    from labkit.machine import Machine


class Divergence(Samples[DivergenceSample]):
    """Samples of machines of one lab: how much each has written for itself, and how much they still share.

    Args:
        machines: one or more, all of one lab. interval: seconds between two samples.

    Attributes:
        linked: the names of the machines that were linked clones when the sampling began.
    """

    def __init__(self, machines: Sequence[Machine], interval: float = 0.5) -> None:
        super().__init__(check_seconds(interval, what="interval"))
        self._machines = check_machines(machines, "machines")
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
        sentence = ngettext(
            "Samples of {count} machine: what it takes of its own, and what it shares.",
            "Samples of {count} machines: what each takes of its own, and what they share.",
            len(self._machines),
        )
        return sentence.format(count=len(self._machines))


def look(lineage: Lineage, names: Iterable[str], seconds: float) -> DivergenceSample:
    """Return how much of the host machines take, by the lineage.

    The bytes of an image below a linked clone count as shared, even if the original is not among the machines.
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
