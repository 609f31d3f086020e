"""What exercises on running machines share: their start, a mark in memory that a reboot wipes out, common results.

Knows: the lab as a student uses it. Must not know: any one exercise.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from labkit.course.exercise import Exercise, Result
from labkit.errors import GuestError, TimedOut
from labkit.language import _
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.model.words import state_word

MEMORY = "96 MiB"
"""The memory of each machine; several run at once."""

IN_MEMORY, ON_DISK = "/run/labkit-mark", "/root/labkit-mark"
"""The files with the student's mark in a guest: one that a reboot loses, one that it keeps."""

PATIENCE = 30.0
"""Seconds that a guest may take to answer a check."""


class MachineExercise(Exercise):
    """An exercise that starts from some machines; while they are missing it is not begun."""

    def look(self) -> Result:
        """Return that nothing is begun or that a machine is gone, or look at the work."""
        missing = [name for name in self.machines if name not in self.lab.machines]
        if len(missing) == len(self.machines):
            return self.not_begun(_("There is no machine {name}.").format(name=self.machine))
        if missing:
            return self.broken(_("The machine {name} is gone.").format(name=missing[0]))
        return self.look_closer()

    def look_closer(self) -> Result:
        """Look at the work; all machines exist."""
        raise NotImplementedError

    def vm(self, name: str) -> Machine:
        """Return one of its machines."""
        return self.lab.machines[name]

    def boot(self, *, start: bool = True, **options: Any) -> list[Machine]:
        """Create its machines and start them, each with the mark in its memory and on its disk."""
        machines = [self.lab.create(name, memory=MEMORY, **options) for name in self.machines]
        if start:
            for machine in machines:
                machine.start()
            with ThreadPoolExecutor(max_workers=len(machines)) as pool:
                list(pool.map(self._mark, machines))
        return machines

    def _mark(self, machine: Machine) -> None:
        machine.wait_ready()
        machine.run(f"echo {self.mark} | tee {IN_MEMORY} >{ON_DISK}; sync")

    def says(self, name: str, command: str) -> str | None:
        """Return what a command printed inside a machine, or None if the machine is not running or does not answer."""
        machine = self.vm(name)
        if machine.state is not MachineState.RUNNING:
            return None
        try:
            return machine.run(command, timeout=PATIENCE).stdout.strip()
        except (GuestError, TimedOut):
            return None

    def why_not_untouched(self, name: str) -> Result | None:
        """Return the result if a machine does not run on as it was started, or None."""
        state = self.vm(name).state
        if state is not MachineState.RUNNING:
            return self.wrong(
                _("{name} is {state}, and it was to be left alone.").format(name=name, state=state_word(state)),
                _("Bring it back; if it lost its memory, call ex.start()."),
            )
        if self.says(name, f"cat {IN_MEMORY}") != self.mark:
            return self.wrong(
                _("You restarted {name}, too: it has lost its memory.").format(name=name),
                _("Call ex.start(), and touch only the machine that the task speaks of."),
            )
        return None
