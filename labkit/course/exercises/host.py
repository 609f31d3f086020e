"""The exercises of notebook 01 on one host: `who-fell`, `power-cut`, `another-cpu`.

Each prepares machines of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from labkit.course.machine_exercise import ON_DISK, MachineExercise, why_not_untouched
from labkit.course.readers import PANICKED
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.machine import MachineState, Reason
from labkit.model.words import reason_word, state_word

MARK = "mark"
READ_MARK = {MARK: f"cat {ON_DISK}"}
"""What a guest is asked for the mark on its disk."""


class WhoFell(MachineExercise):
    """One of three guests has panicked: find it, and bring back only that one."""

    slug: ClassVar[str] = "who-fell"
    alias: ClassVar[str] = "quien-cayo"
    code: ClassVar[str] = (
        "for name in ex.machines:\n"
        "    vm = lab.machines[name]\n"
        '    if "Kernel panic" in vm.console.tail():\n'
        "        vm.kill()\n"
        "        vm.start().wait_ready()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """Three machines."""
        return tuple(f"{self.slug}-{number}" for number in (1, 2, 3))

    @property
    def fallen(self) -> str:
        """The one that panics: it differs from student to student."""
        return self.machines[int(self.mark, 16) % 3]

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """The mark on each disk."""
        return dict.fromkeys(self.machines, READ_MARK)

    def prepare(self) -> None:
        """Start all, and let the kernel of one panic; without a panic device nobody is told."""
        self.boot(panic_device=False)
        vm = self.vm(self.fallen)
        vm.console.send("echo c >/proc/sysrq-trigger")  # the agent could not tell any more that it was done
        vm.console.expect(PANICKED, timeout=60)

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See that the others never stopped, and that the fallen one answers."""
        others = [name for name in self.machines if name != self.fallen]
        if trouble := why_not_untouched(before.reading, now, others):
            return trouble
        fallen = now.machines[self.fallen]
        if not fallen.runs:
            return wrong(
                _("{name} is {state}.").format(name=self.fallen, state=state_word(fallen.state)),
                _("Start it, and wait until it is ready: wait_ready()."),
                f'lab.machines["{self.fallen}"].start().wait_ready()',
            )
        if fallen.said is None:
            return wrong(
                _("All three are running, and one of them does not answer."),
                _("Ask each: vm.answers(), or read the end of its console. A panicked kernel needs a new start."),
            )
        if fallen.tells(MARK) != self.mark:
            return broken(_("What was on the disk of {name} is gone.").format(name=self.fallen))
        return done(_("All three answer, and two of them have never stopped."))


class PowerCut(MachineExercise):
    """Switch a guest off by its process on the host alone."""

    slug: ClassVar[str] = "power-cut"
    alias: ClassVar[str] = "corte"
    code: ClassVar[str] = (
        'import os, signal\nvm = lab.machines[ex.machine]\nos.kill(vm.process.pid, signal.SIGKILL)\nvm.wait_for("off")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The machine, and one that is to be left alone."""
        return (self.slug, f"{self.slug}-neighbour")

    def prepare(self) -> None:
        """Start both."""
        self.boot()

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See that the other goes on, and how this one ended."""
        if trouble := why_not_untouched(before.reading, now, self.machines[1:]):
            return trouble
        there = now.machines[self.machine]
        again = f'vm = lab.machines["{self.machine}"]\nvm.start()\n{self.code}'
        if there.state is not MachineState.OFF:
            return wrong(
                _("{name} is still there: it is {state}.").format(name=self.machine, state=state_word(there.state)),
                _("Its process is vm.process.pid; a process is ended by a signal, in a terminal with kill -9 PID."),
            )
        if there.panicked:
            return wrong(
                _("{name} is off because its own kernel panicked: that was done inside the guest.").format(
                    name=self.machine
                ),
                _("Power is cut from outside. Start it, and end its process on the host with the signal 9."),
                again,
            )
        if there.reason is not Reason.CRASHED:
            return wrong(
                _("{name} is off, but the reason says: {reason}.").format(
                    name=self.machine, reason=reason_word(there.reason) or there.reason
                ),
                _("The hypervisor was asked, or the process was let end in order. Start it, and use the signal 9."),
                again,
            )
        return done(_("{name} is off: {reason}.").format(name=self.machine, reason=reason_word(there.reason)))


class OtherCpu(MachineExercise):
    """The same disk on another CPU model."""

    slug: ClassVar[str] = "another-cpu"
    alias: ClassVar[str] = "otra-cpu"
    model: ClassVar[str] = "Nehalem"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\nvm.configure(cpu_model=ex.model)\nvm.stop()\nvm.start().wait_ready()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """What the CPU calls itself, read past whatever is mounted over it; the mark."""
        look = "mount -t proc proc /proc && sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"
        cpu = f'unshare -m sh -c "{look}"'
        return {self.machine: {"cpu": cpu, **READ_MARK}}

    def prepare(self) -> None:
        """Start it, with the mark on its disk."""
        self.boot()

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare the definition, what the guest runs on, and what is on its disk."""
        was, there = before.reading.machines[self.machine], now.machines[self.machine]
        configure = "vm = lab.machines[ex.machine]\nvm.configure(cpu_model=ex.model)"
        if there.disks != was.disks:
            return wrong(
                _("{name} has another disk than at the start.").format(name=self.machine),
                _("The same disk is to run on another CPU. Call ex.start(), and change the CPU alone."),
                "ex.start()",
            )
        if there.cpu_model != self.model:
            return wrong(
                _("{name} is defined with the CPU model {model}.").format(name=self.machine, model=there.cpu_model),
                _("Change the definition: vm.configure(cpu_model={model!r}).").format(model=self.model),
                configure,
            )
        if there.runs and there.live_cpu_model != self.model:
            return wrong(
                _("The new definition needs a start: the guest has not seen it yet."),
                _("Stop it, start it, and wait until it is ready."),
                "vm = lab.machines[ex.machine]\nvm.stop()\nvm.start().wait_ready()",
            )
        if there.said is None:
            return wrong(
                _("{name} is defined well, and it is {state}: the guest has not said so yet.").format(
                    name=self.machine, state=state_word(there.state)
                ),
                _("Start it if it is off, and wait until it is ready: vm.wait_ready()."),
                "vm = lab.machines[ex.machine]\nvm.start().wait_ready()",
            )
        if self.model not in there.tells("cpu"):
            return wrong(
                _("Inside, the CPU calls itself otherwise: {words}.").format(words=there.tells("cpu")[:60]),
                _("Change the definition: vm.configure(cpu_model={model!r}).").format(model=self.model),
                configure,
            )
        if there.tells(MARK) != self.mark:
            return broken(_("What was on its disk is gone."))
        return done(_("The same disk runs on another CPU, and the guest says so."))
