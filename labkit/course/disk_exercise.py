"""What exercises on disks share: their start, and reading the host's files.

Knows: the lab as a student uses it. Must not know: any one exercise.
"""

from __future__ import annotations

from labkit.course.exercise import Exercise, Result
from labkit.disk import Disk
from labkit.errors import WrongState
from labkit.language import _
from labkit.machine import Machine


def read_bytes(disk: Disk, offset: int, length: int) -> bytes:
    """Return what the host's file holds at an offset of the guest's disk; empty if it holds nothing there."""
    try:
        path, place = disk.locate(offset)
    except WrongState:
        return b""
    with path.open("rb") as file:
        file.seek(place)
        return file.read(length)


class DiskExercise(Exercise):
    """An exercise that starts from some disks; while they are missing it is not begun."""

    def look(self) -> Result:
        """Return that nothing is begun, or look at the work."""
        missing = [name for name in self.disks if name not in self.lab.disks]
        if len(missing) == len(self.disks):
            return self.not_begun(_("There is no disk {name}.").format(name=self.disks[0]))
        if missing and missing[0] in self.needed:
            return self.broken(_("The disk {name} is gone.").format(name=missing[0]))
        return self.look_closer()

    @property
    def needed(self) -> tuple[str, ...]:
        """The disks that must exist."""
        return self.disks

    def look_closer(self) -> Result:
        """Look at the work; all disks exist."""
        raise NotImplementedError

    def boot(self, *disks: Disk) -> Machine:
        """Return the exercise's machine, made with these disks and booted."""
        machine = self.lab.create(self.machine)
        for disk in disks:
            machine.attach(disk)
        return machine.start().wait_ready()
