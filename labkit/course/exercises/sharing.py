"""The exercises of notebook 02 on guests that share a host: `vecino-ruidoso`, `quien-gasta`.

Each prepares machines and disks of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.machine_exercise import MachineExercise
from labkit.experiments import REQUEST, is_writing, measure_fsync, start_writing
from labkit.language import _, ngettext
from labkit.model.machine import MachineState
from labkit.model.measurement import median


class NoisyNeighbour(MachineExercise):
    """A saturates its disk: limit it without ending its work, so that B gets its share."""

    slug: ClassVar[str] = "vecino-ruidoso"
    most: ClassVar[int] = 100
    """The most requests a second that A may make."""
    code: ClassVar[str] = "vm = lab.machines[ex.machine]\nvm.throttle(ex.disks[0], iops=20)"

    _alone: ClassVar[str] = "/root/alone"

    @property
    def machines(self) -> tuple[str, ...]:
        """A and B."""
        return (f"{self.slug}-a", f"{self.slug}-b")

    @property
    def disks(self) -> tuple[str, ...]:
        """A's second disk."""
        return (f"{self.slug}-datos",)

    def prepare(self) -> None:
        """Start both on one CPU of the host, measure B alone, and let A write."""
        a, b = self.boot()
        a.attach(self.lab.disks.create(self.disks[0], capacity="64 MiB"))
        for machine in (a, b):
            machine.pin(0)
        b.run(f"echo {round(median(measure_fsync(b, rounds=3)))} >{self._alone}; sync")
        start_writing(a, self.disks[0])

    def look_closer(self) -> Result:
        """Check that A is alive and at work, that its disk is limited, and how long B waits."""
        a, b = (self.vm(name) for name in self.machines)
        if a.state is not MachineState.RUNNING:
            return self.wrong(
                _("You switched A off: its users would not call that a service."),
                _("Call ex.start(), then limit A's disk instead: vm.throttle(…)."),
            )
        if b.state is not MachineState.RUNNING:
            return self.broken(_("{name} is off.").format(name=b.name))
        if not is_writing(a):
            return self.wrong(
                _("You ended A's work: it is to go on, only slower."),
                _("Call ex.start(), then limit A's disk instead: vm.throttle(…)."),
            )
        limits = a.limits.get(self.disks[0])
        if limits is None or not (limits.iops or limits.bytes_per_second):
            return self.wrong(
                _("A's disk has no limit."),
                _("vm.throttle({disk!r}, iops=…) limits it while A works on.").format(disk=self.disks[0]),
            )
        allowed = min(rate for rate in (limits.iops, limits.bytes_per_second // REQUEST) if rate)
        if allowed > self.most:
            return self.wrong(
                ngettext(
                    "A may still make {count} request a second.", "A may still make {count} requests a second.", allowed
                ).format(count=allowed),
                _("Allow it {count} or fewer.").format(count=self.most),
            )
        waits = min(measure_fsync(b, rounds=3))
        allowed_wait = max(5 * int(b.run(f"cat {self._alone}").stdout or 0), 750)
        if waits > allowed_wait:
            return self.wrong(
                _("B still waits {milliseconds:.0f} ms for each write.").format(milliseconds=waits),
                _("Allow A less; or this computer is busy with something else: check again later."),
            )
        return self.done(_("A goes on at its limit, and B comes to its own."))


class WhoSpends(MachineExercise):
    """One of three guests burns the CPU: find it from outside, and pause only that one."""

    slug: ClassVar[str] = "quien-gasta"
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
        """The one at work; it differs from student to student."""
        return self.machines[int(self.mark, 16) % 3]

    def prepare(self) -> None:
        """Start all, and let one run an endless loop once all have finished booting."""
        for machine in self.boot():
            machine.console.expect("# $", timeout=60)
        self.vm(self.spender).run("sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &")

    def look_closer(self) -> Result:
        """Check which one is paused, and that the others run on."""
        paused = [name for name in self.machines if self.vm(name).state is MachineState.PAUSED]
        idle = [name for name in paused if name != self.spender]
        if idle:
            return self.wrong(
                _("{name} is paused, and it hardly works.").format(name=idle[0]),
                _("Resume it. Read vm.process.cpu_seconds of each twice: whose grows?"),
            )
        for name in self.machines:
            if name != self.spender and (trouble := self.why_not_untouched(name)):
                return trouble
        state = self.vm(self.spender).state
        if state is MachineState.RUNNING:
            return self.wrong(
                _("One of the three still burns the CPU."),
                _("Read vm.process.cpu_seconds of each twice: whose grows? Pause that one."),
            )
        if state is not MachineState.PAUSED:
            return self.wrong(
                _("You switched it off: what it had computed is lost."), _("Call ex.start(), and pause it instead.")
            )
        return self.done(_("It is paused, and the others run on."))
