"""The exercises of notebook 03 in which something is wrong: `mal-declarado`, `anfitrion-lleno`.

Each prepares a machine of its own, and the trouble. Checks look at the images from outside and ask the guest.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from labkit.course.disk_exercise import DiskExercise, read_bytes
from labkit.course.exercise import Result
from labkit.errors import GuestSilent
from labkit.language import _
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.model.words import reason_word, state_word
from labkit.storage.files import make_private_folder
from labkit.units import MIB

VMDK_MAGIC = b"KDMV"
"""The first bytes of a VMDK."""


class _Running(DiskExercise):
    """An exercise whose guest must run when it is checked."""

    def ask(self, command: str) -> str:
        """Return what a command prints inside, without white space at its ends."""
        return self.lab.machines[self.machine].run(command).stdout.strip()

    def look(self) -> Result:
        """Return that nothing is begun, or ask the guest if it answers."""
        if self.machine not in self.lab.machines:
            return self.not_begun(_("There is no machine {name}.").format(name=self.machine))
        try:
            return self.look_inside(self.lab.machines[self.machine])
        except GuestSilent as silence:
            return self.wrong(silence.message, _("Wait until it is ready: vm.wait_ready()."))

    def look_inside(self, machine: Machine) -> Result:
        """Look at the machine, which may be in any state, and into it."""
        raise NotImplementedError


class Misnamed(_Running):
    """A VMDK that is named VDI and was attached as raw."""

    slug: ClassVar[str] = "mal-declarado"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        "wrong, right = ex.disks\n"
        "vm.detach(wrong)\n"
        'vm.attach(lab.disks.import_file(ex.file, right, format="vmdk"))\n'
        'vm.run(f"labkit-mount {lab.disks[right].target}")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """The disk that was made wrongly, and the name of the one that is to be right."""
        return ("mal-declarado-raw", "mal-declarado-bien")

    @property
    def file(self) -> Path:
        """The file that somebody brought."""
        return self.folder / "mal-declarado.vdi"

    def prepare(self) -> None:
        """Let a guest write a letter on a VMDK, rename the file, and attach its bytes as a raw disk."""
        wrong = self.disks[0]
        made = self.lab.disks.create(wrong, capacity="32 MiB", format="vmdk")
        machine = self.boot(made)
        machine.run(f"labkit-mount vdb && echo {self.mark} > /mnt/vdb/letter && sync && umount /mnt/vdb")
        machine.detach(made)
        make_private_folder(self.folder)
        shutil.copyfile(made.path, self.file)
        made.delete()
        raw = self.lab.disks.create(wrong, capacity=self.file.stat().st_size, format="raw")
        shutil.copyfile(self.file, raw.path)
        machine.attach(raw)

    def look_inside(self, machine: Machine) -> Result:
        """Look at the disk that is to be right, and for the letter inside."""
        name = self.disks[1]
        if not self.file.exists():
            return self.broken(_("The file {name} is gone.").format(name=self.file.name))
        if name not in self.lab.disks:
            return self.wrong(
                _("There is no disk {name} yet, and vdb begins with {magic}: the guest sees the container.").format(
                    name=name, magic=VMDK_MAGIC.decode()
                ),
                _("A name does not change the format. Look how ex.file begins, and import it as what it is."),
            )
        disk = self.lab.disks[name]
        if read_bytes(disk, 0, len(VMDK_MAGIC)) == VMDK_MAGIC:
            return self.wrong(
                _("{name} holds the container as if it were the content.").format(name=name),
                _("A name does not change the format, nor does converting what is taken for raw: import ex.file."),
            )
        if disk.machine != self.machine:
            return self.wrong(
                _("{name} is not attached to {machine}.").format(name=name, machine=self.machine),
                _("Attach it: vm.attach({name!r}).").format(name=name),
            )
        if machine.state is not MachineState.RUNNING:
            return self.wrong(
                _("{name} is {state}.").format(name=self.machine, state=state_word(machine.state)),
                _("Start it, and wait until it is ready."),
            )
        if self.ask("cat /mnt/*/letter") != self.mark:
            return self.wrong(
                _("Inside, there is no letter with your mark below /mnt."),
                _("Mount the disk inside: labkit-mount {target}.").format(target=disk.target),
            )
        return self.done(_("The guest reads its letter."))


class FullHost(_Running):
    """A guest that is paused because its storage is full."""

    slug: ClassVar[str] = "anfitrion-lleno"
    bytes: ClassVar[int] = 16 * MIB
    code: ClassVar[str] = (
        'lab.disks[ex.disks[0]].serve(room="64 MiB")\n'
        "vm = lab.machines[ex.machine]\n"
        "vm.resume()\n"
        'vm.run("until [ -e /run/written ]; do usleep 100000; done")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, paused by its disk."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its data disk, served with little room."""
        return ("anfitrion-lleno-datos",)

    def prepare(self) -> None:
        """Let a guest write more than its storage has room for."""
        disk = self.lab.disks.create(self.disks[0], capacity="48 MiB").serve(room="8 MiB")
        machine = self.boot(disk)
        machine.run(f"labkit-mount vdb; touch /run/writing; {self._content} > /run/data")
        copy = "dd if=/run/data of=/mnt/vdb/data bs=64k conv=fsync && touch /run/written"
        machine.run(f"(sleep 4; {copy}) >/run/log 2>&1 &")
        machine.wait_for("paused", timeout=180)

    @property
    def _content(self) -> str:
        return f"yes {self.mark * 64} | head -c {self.bytes}"  # long lines, since each line costs time in a guest

    def look_inside(self, machine: Machine) -> Result:
        """Check that it goes on, that it has not rebooted, and what it has written."""
        if machine.state is MachineState.PAUSED:
            return self.wrong(
                _("{name} is paused: {reason}.").format(name=self.machine, reason=reason_word(machine.reason)),
                _('Its storage must have room first: disk.serve(room="64 MiB"). Then vm.resume().'),
            )
        if machine.state is not MachineState.RUNNING:
            return self.broken(
                _("{name} is {state}: what it was writing was in its memory.").format(
                    name=self.machine, state=state_word(machine.state)
                )
            )
        if not self.ask("ls /run/writing"):
            return self.broken(_("You rebooted it: of what it was writing it knows nothing any more."))
        if not self.ask("ls /run/written"):
            return self.wrong(_("It goes on, and is still writing."), _("Give it a moment, and check again."))
        if self.ask(f"{self._content} | cmp - /mnt/vdb/data && echo same") != "same":
            return self.broken(_("What it has written is not what it meant to write."))
        return self.done(_("It went on without a boot, and all is written."))
