"""The exercises of notebook 01: `quien-cayo`, `corte`, `otra-cpu`, `mudanza`.

Each prepares machines of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.machine_exercise import ON_DISK, MachineExercise
from labkit.lab import Lab
from labkit.language import _
from labkit.model.machine import MachineState, Reason
from labkit.model.words import reason_word

PANICKED = "end Kernel panic"
"""The last words of a Linux kernel that panics."""


class WhoFell(MachineExercise):
    """One of three guests has panicked: find it, and bring back only that one."""

    slug: ClassVar[str] = "quien-cayo"
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
        """The one that panics; it differs from student to student."""
        return self.machines[int(self.mark, 16) % 3]

    def prepare(self) -> None:
        """Start all, and let the kernel of one panic; without a panic device the hypervisor does not notice."""
        self.boot(panic_device=False)
        vm = self.vm(self.fallen)
        vm.console.expect("# $", timeout=60)
        vm.console.send("echo c >/proc/sysrq-trigger")  # the agent could not answer afterwards
        vm.console.expect(PANICKED, timeout=60)

    def look_closer(self) -> Result:
        """Check that the others never stopped, and that the fallen one answers."""
        for name in self.machines:
            if name != self.fallen and (trouble := self.why_not_untouched(name)):
                return trouble
        fallen = self.vm(self.fallen)
        if fallen.state is not MachineState.RUNNING:
            return self.wrong(
                _("{name} is off.").format(name=self.fallen), _("Start it, and wait until it is ready: wait_ready().")
            )
        if PANICKED in fallen.console.tail() or self.says(self.fallen, f"cat {ON_DISK}") != self.mark:
            return self.wrong(
                _("All three are running, and one of them does not answer."),
                _("Ask each: vm.answers(), or read the end of its console. A panicked kernel needs a new start."),
            )
        return self.done(_("All three answer, and two of them have never stopped."))


class PowerCut(MachineExercise):
    """Switch a guest off only through its process on the host."""

    slug: ClassVar[str] = "corte"
    code: ClassVar[str] = (
        'import os, signal\nvm = lab.machines[ex.machine]\nos.kill(vm.process.pid, signal.SIGKILL)\nvm.wait_for("off")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The machine, and another that is to be left alone."""
        return (self.slug, f"{self.slug}-vecina")

    def prepare(self) -> None:
        """Start both."""
        self.boot()

    def look_closer(self) -> Result:
        """Check that the other goes on, and how this one ended."""
        if trouble := self.why_not_untouched(self.machines[1]):
            return trouble
        vm = self.vm(self.machine)
        state, reason = vm.state, vm.reason
        if state is not MachineState.OFF:
            return self.wrong(
                _("{name} is still there.").format(name=self.machine),
                _("Its process is vm.process.pid; a process is ended by a signal, in a terminal with kill -9 PID."),
            )
        if reason in (Reason.SHUT_DOWN, Reason.KILLED):
            return self.wrong(
                _("{name} is off, but the reason says: {reason}.").format(
                    name=self.machine, reason=reason_word(reason)
                ),
                _("The hypervisor was asked, or the process was let end in order. Start it, and use the signal 9."),
            )
        return self.done(_("{name} is off: {reason}.").format(name=self.machine, reason=reason_word(reason)))


class OtherCpu(MachineExercise):
    """The same disk on another CPU model."""

    slug: ClassVar[str] = "otra-cpu"
    model: ClassVar[str] = "Nehalem"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\nvm.configure(cpu_model=ex.model)\nvm.stop()\nvm.start().wait_ready()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    def prepare(self) -> None:
        """Start it, with the mark on its disk."""
        self.boot()

    def look_closer(self) -> Result:
        """Compare the definition, what the guest runs on, and what is on its disk."""
        facts = self.vm(self.machine).facts
        if facts.spec.cpu_model != self.model:
            return self.wrong(
                _("{name} is defined with the CPU model {model}.").format(
                    name=self.machine, model=facts.spec.cpu_model
                ),
                _("Change the definition: vm.configure(cpu_model={model!r}).").format(model=self.model),
            )
        if facts.live is None or facts.live.cpu_model != self.model:
            return self.wrong(
                _("The new definition needs a start: the guest has not seen it yet."),
                _("Stop it, start it, and wait until it is ready."),
            )
        inside = self.says(self.machine, f"grep -m 1 'model name' /proc/cpuinfo; cat {ON_DISK}")
        if inside is None:
            return self.wrong(_("It does not answer yet."), _("Wait until it is ready: vm.wait_ready()."))
        if self.model not in inside:
            return self.wrong(
                _("Inside, the CPU calls itself otherwise: {words}.").format(words=inside.splitlines()[0]),
                _("Change the definition: vm.configure(cpu_model={model!r}).").format(model=self.model),
            )
        if self.mark not in inside:
            return self.broken(_("What was on its disk is gone."))
        return self.done(_("The same disk runs on another CPU, and the guest says so."))


class Move(MachineExercise):
    """Move a machine by its files: it must be the same machine, in another place, and only there."""

    slug: ClassVar[str] = "mudanza"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'file = vm.export(lab.home / "mudanza.labkit")\n'
        "vm.delete()\n"
        "ex.elsewhere.import_machine(file).start().wait_ready()\n"
        "file.unlink()"
    )

    _id: ClassVar[str] = "/root/labkit-id"

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, off."""
        return (self.slug,)

    @property
    def elsewhere(self) -> Lab:
        """The other place: a lab with a folder of its own."""
        return Lab.open(self.slug, home=self.lab.home.parent)

    def prepare(self) -> None:
        """Start it, let it record who it is, and stop it."""
        (vm,) = self.boot()
        vm.run(f"cp /etc/machine-id {self._id}; sync")
        vm.stop()

    def look(self) -> Result:
        """Check where it is, and who it is there."""
        here = self.machine in self.lab.machines
        with self.elsewhere as elsewhere:
            there = self.machine in elsewhere.machines
            if not there:
                return super().look()
            if here:
                return self.wrong(
                    _("Now there are two of them: here, and in the other lab."),
                    _("To move is not to copy: delete the one here, and import with the identity it had."),
                )
            return self._look_there(elsewhere)

    def look_closer(self) -> Result:
        """Return the result while the machine is still here."""
        return self.wrong(
            _("{name} is still here.").format(name=self.machine),
            _("vm.export(FILE) packs its files into one; ex.elsewhere.import_machine(FILE) unpacks them there."),
        )

    def _look_there(self, elsewhere: Lab) -> Result:
        vm = elsewhere.machines[self.machine]
        if not vm.answers():
            return self.wrong(
                _("It is there, but it does not answer."), _("Start it there, and wait until it is ready.")
            )
        mark, first, now = vm.run(f"cat {ON_DISK} {self._id} /etc/machine-id").stdout.split()
        if mark != self.mark:
            return self.broken(_("What was on its disk is gone."))
        if first != now:
            return self.wrong(
                _("That is a clone: inside, it has another machine-id."),
                _('Call ex.start(), and import with identity="keep", once the one here is deleted.'),
            )
        return self.done(_("The same machine, in another place, and only there."))

    def _clear(self) -> None:
        super()._clear()
        with self.elsewhere as elsewhere:
            elsewhere.clean()
