"""What exercises on running machines share: their start, a mark on each disk, common judgements.

Knows: the lab as a student uses it. Must not know: any one exercise.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from labkit.course.exercise import Exercise
from labkit.course.reading import MachineReading, Reading
from labkit.course.result import Result, wrong
from labkit.disk import Disk
from labkit.language import _
from labkit.machine import Machine
from labkit.model.words import state_word

MEMORY = "96 MiB"
"""Of each machine: several run at once."""

ON_DISK = "/root/labkit-mark"
"""Where a guest keeps the student's mark."""


class MachineExercise(Exercise):
    """An exercise whose start is some machines."""

    def vm(self, name: str) -> Machine:
        """Return one of its machines."""
        return self.lab.machines[name]

    def boot(self, *disks: Disk, **options: Any) -> list[Machine]:
        """Create its machines and let them run, each with the mark on its disk; the first gets these disks, too.

        Machines of the kind that most exercises use are resumed from their image's memory, which is made if it is
        missing; for those with options that would take longer than a boot.
        """
        warm = None if options else True
        machines = [self.lab.create(name, memory=MEMORY, **options) for name in self.given]
        with ThreadPoolExecutor(max_workers=len(machines)) as pool:
            list(pool.map(lambda machine: self._begin(machine, warm=warm), machines))
        for disk in disks:
            machines[0].attach(disk)
        return machines

    def _begin(self, machine: Machine, *, warm: bool | None) -> None:
        machine.start(warm=warm).wait_ready()
        machine.run(f"echo {self.mark} >{ON_DISK}; sync")


def why_not_untouched(before: Reading, now: Reading, names: Sequence[str]) -> Result | None:
    """Return what is wrong if one of some machines does not run on as it was started, or None."""
    for name in names:
        was, there = before.machines[name], now.machines[name]
        if not there.runs:
            return wrong(
                _("{name} is {state}, and it was to be left alone.").format(name=name, state=state_word(there.state)),
                _("Bring it back; if it lost its memory, call ex.start()."),
                "ex.start()",
            )
        if was_restarted(was, there):
            return wrong(
                _("You restarted {name}, too: it has lost its memory.").format(name=name),
                _("Call ex.start(), and touch only the machine that the task speaks of."),
                "ex.start()",
            )
    return None


def was_restarted(was: MachineReading, now: MachineReading) -> bool:
    """Whether a machine that runs is not in the boot that it was in: another process, or another boot in the same."""
    return was.process != now.process or (now.said is not None and was.boot != now.boot)


class DataDiskExercise(MachineExercise):
    """An exercise on one machine that has a data disk besides its own."""

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its data disk."""
        return (f"{self.slug}-data",)
