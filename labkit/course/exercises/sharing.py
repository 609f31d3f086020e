"""The exercises of notebook 02 on guests that share a host: `noisy-neighbour`, `who-spends`.

Each prepares machines and disks of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.machine_exercise import MachineExercise, was_restarted, why_not_untouched
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, done, wrong
from labkit.engine.resources import limits_in_force
from labkit.experiments import REQUEST, measure_fsync, start_writing
from labkit.language import _, ngettext
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.model.measurement import median
from labkit.model.usage import DiskLimits
from labkit.units import MIB


class NoisyNeighbour(MachineExercise):
    """A saturates its disk: limit it, without ending its work, so that B comes to its own."""

    slug: ClassVar[str] = "noisy-neighbour"
    alias: ClassVar[str] = "vecino-ruidoso"
    code: ClassVar[str] = "vm = lab.machines[ex.machine]\nvm.throttle(ex.disks[0], iops=20)"

    @property
    def machines(self) -> tuple[str, ...]:
        """A and B."""
        return (f"{self.slug}-a", f"{self.slug}-b")

    @property
    def disks(self) -> tuple[str, ...]:
        """A's second disk."""
        return (f"{self.slug}-data",)

    @property
    def most(self) -> int:
        """Requests a second that A may make at most."""
        return self.drawn("most", 100, 60, 80)

    @property
    def amounts(self) -> Mapping[str, str]:
        """How much A may ask for."""
        return {"most": str(self.most)}

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Whether A's work is still there."""
        return {self.machine: {"work": "kill -0 $(cat /run/labkit-noise) && echo there"}}

    def prepare(self) -> Mapping[str, str]:
        """Start both on one CPU of the host, measure B alone, and let A write."""
        capacity = self.drawn("capacity", 64 * MIB, 48 * MIB, 80 * MIB)
        a, b = self.boot(self.lab.disks.create(self.disks[0], capacity=capacity))
        for machine in (a, b):
            machine.pin(0)
        alone = round(median(measure_fsync(b, seconds=0.5, rounds=2)))
        start_writing(a, self.disks[0])
        return {"alone": str(alone)}

    def read(self) -> Reading:
        """Read both; where A is limited, measure how long B waits, and count meanwhile what A's disk is asked."""
        found = super().read()
        if len(found.machines) < len(self.machines):
            return found
        a, b = (self.vm(name) for name in self.machines)
        limits = limits_in_force(a.handle).get(self.disks[0], DiskLimits())
        found = replace(found, settings={"iops": limits.iops, "bytes": limits.bytes_per_second})
        if not any(found.settings.values()) or not all(each.runs for each in found.machines.values()):
            return found
        began, before = time.monotonic(), _count_writes(a)
        waits = min(measure_fsync(b, rounds=3))
        asked = (_count_writes(a) - before) / (time.monotonic() - began)
        return replace(found, measured={"waits": waits, "asked": asked})

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See that A is alive and at work, that its disk is limited, and how long B waits."""
        a, b = (now.machines[name] for name in self.machines)
        was_a, was_b = (before.reading.machines[name] for name in self.machines)
        again = _("Call ex.start(), then limit A's disk instead: vm.throttle(…).")
        if not a.runs or was_restarted(was_a, a):
            return wrong(_("You switched A off: its users would not call that a service."), again, "ex.start()")
        if not b.runs or was_restarted(was_b, b):
            return wrong(_("You switched B off: it is the one that is to be helped."), again, "ex.start()")
        if a.tells("work") != "there":
            return wrong(_("You ended A's work: it is to go on, only slower."), again, "ex.start()")
        rates = [now.settings.get("iops", 0), now.settings.get("bytes", 0) // REQUEST]
        if not any(rates):
            return wrong(
                _("A's disk has no limit."),
                _("vm.throttle({disk!r}, iops=…) limits it while A works on.").format(disk=self.disks[0]),
            )
        allowed = min(rate for rate in rates if rate)
        if allowed > self.most:
            return wrong(
                ngettext(
                    "A may still make {count} request a second.", "A may still make {count} requests a second.", allowed
                ).format(count=allowed),
                _("Allow it {count} or fewer.").format(count=self.most),
            )
        if now.measured.get("asked", 0) <= 0:
            return wrong(
                _("A's disk is asked for nothing any more: its work stands still."),
                _("It is to go on, only slower: let it work, and give it a limit that it can work with."),
            )
        waits = now.measured.get("waits", 0.0)
        if waits > max(5 * int(before.notes.get("alone", 0)), 750):
            return wrong(
                _("B still waits {milliseconds:.0f} ms for each write.").format(milliseconds=waits),
                _("Allow A less; or this computer is busy with something else: check again later."),
            )
        return done(_("A goes on at its limit, and B comes to its own."))


def _count_writes(machine: Machine) -> int:
    usage = machine.lab.usage().get(machine.id)
    return sum(disk.writes for disk in usage.disks if disk.target == "vdb") if usage else 0


class WhoSpends(MachineExercise):
    """One of three guests burns the CPU: find it from outside, and pause only that one."""

    slug: ClassVar[str] = "who-spends"
    alias: ClassVar[str] = "quien-gasta"
    code: ClassVar[str] = (
        "import time\n"
        "vms = [lab.machines[name] for name in ex.machines]\n"
        "before = {vm.name: vm.process.cpu_seconds for vm in vms}\n"
        "time.sleep(3)\n"
        "max(vms, key=lambda vm: vm.process.cpu_seconds - before[vm.name]).pause()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """Three machines."""
        return tuple(f"{self.slug}-{number}" for number in (1, 2, 3))

    @property
    def spender(self) -> str:
        """The one at work: it differs from student to student."""
        return self.machines[int(self.mark, 16) % 3]

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Whether the work is there."""
        return {self.spender: {"work": "kill -0 $(cat /run/work) && echo there"}}

    def prepare(self) -> None:
        """Start all, and let one run in a circle."""
        self.boot()
        self.vm(self.spender).run("sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 & echo $! >/run/work")

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See which one is paused, and that the others run on."""
        idle = [name for name in self.machines if name != self.spender]
        paused = [name for name in idle if now.machines[name].state is MachineState.PAUSED]
        if paused:
            return wrong(
                _("{name} is paused, and it hardly works.").format(name=paused[0]),
                _("Resume it. Read vm.process.cpu_seconds of each twice: whose grows?"),
                f'lab.machines["{paused[0]}"].resume()',
            )
        if trouble := why_not_untouched(before.reading, now, idle):
            return trouble
        was, there = before.reading.machines[self.spender], now.machines[self.spender]
        if there.process != was.process or (there.runs and there.said is not None and there.boot != was.boot):
            return wrong(
                _("You switched it off: what it had computed is lost."),
                _("Call ex.start(), and pause it instead."),
                "ex.start()",
            )
        if there.runs and there.said is not None and there.tells("work") != "there":
            return wrong(
                _("You ended its work inside: it was to be paused, from outside, and to go on some day."),
                _("Call ex.start(), and pause the machine instead."),
                "ex.start()",
            )
        if there.state is not MachineState.PAUSED:
            return wrong(
                _("One of the three still burns the CPU."),
                _("Read vm.process.cpu_seconds of each twice: whose grows? Pause that one."),
            )
        return done(_("It is paused, and the others run on."))
