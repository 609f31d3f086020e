"""The exercises of notebook 03 in which something is out of order: `wrongly-declared`, `full-host`.

Each prepares a machine of its own, and the trouble. Checks look at the images from outside and ask the guest.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from labkit.course.machine_exercise import MachineExercise
from labkit.course.readers import hash_if_there, read_disk
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.machine import MachineState
from labkit.model.words import reason_word, state_word
from labkit.storage.files import make_private_folder
from labkit.units import MIB

VMDK_MAGIC = "KDMV"
"""What a VMDK's container begins with."""


class Misnamed(MachineExercise):
    """A VMDK that is called VDI and was attached as raw."""

    slug: ClassVar[str] = "wrongly-declared"
    alias: ClassVar[str] = "mal-declarado"
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
        return ("declared-raw", "declared-right")

    @property
    def needed(self) -> tuple[str, ...]:
        """None: the wrong one may go."""
        return ()

    @property
    def file(self) -> Path:
        """The file that somebody brought."""
        return self.folder / f"{self.slug}.vdi"

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Which disk is mounted below /mnt, and what its letter is."""
        look = (
            "sync; while read -r device place rest; do case $place in /mnt/*)"
            " echo $device $(sha256sum <$place/letter);; esac; done </proc/mounts"
        )
        return {self.machine: {"letters": look}}

    def prepare(self) -> Mapping[str, str]:
        """Let a guest write a letter on a VMDK, give that file another name, and attach its bytes as a raw disk."""
        wrong_one = self.disks[0]
        capacity = self.drawn("capacity", 32 * MIB, 24 * MIB, 48 * MIB)
        made = self.lab.disks.create(wrong_one, capacity=capacity, format="vmdk")
        (machine,) = self.boot(made)
        machine.run(
            f"labkit-mount vdb && {{ echo {self.mark}; head -c 3000 /dev/urandom | od -x; }} > /mnt/vdb/letter"
            " && sync && umount /mnt/vdb"
        )
        machine.detach(made)
        system = read_disk(made, content=False, files=True)
        make_private_folder(self.folder)
        shutil.copyfile(made.path, self.file)
        made.delete()
        raw = self.lab.disks.create(wrong_one, capacity=self.file.stat().st_size, format="raw")
        shutil.copyfile(self.file, raw.path)
        machine.attach(raw)
        return {"letter": (system.files or {}).get("/letter", ""), "system": system.file_system}

    def read(self) -> Reading:
        """Read also the file, and the disk that is to be right."""
        found, right = super().read(), self.disks[1]
        if right in found.disks:
            disk = read_disk(self.lab.disks[right], content=False, words={"begin": 0}, files=True)
            found = replace(found, disks={**found.disks, right: disk})
        return replace(found, files={"file": hash_if_there(self.file)})

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at the disk that is to be right, and for the letter inside."""
        name, machine = self.disks[1], now.machines[self.machine]
        if now.files.get("file") != before.reading.files.get("file"):
            return broken(_("The file {name} is gone, or was changed.").format(name=f"{self.slug}.vdi"))
        disk = now.disks.get(name)
        if disk is None:
            return wrong(
                _("There is no disk {name} yet, and vdb begins with {magic}: the guest sees the container.").format(
                    name=name, magic=VMDK_MAGIC
                ),
                _("A name does not change the format. Look how ex.file begins, and import it as what it is."),
                'lab.disks.import_file(ex.file, ex.disks[1], format="vmdk")',
            )
        if disk.words.get("begin", "").startswith(VMDK_MAGIC):
            return wrong(
                _("{name} holds the container as if it were the content.").format(name=name),
                _("A name does not change the format, nor does converting what is taken for raw: import ex.file."),
            )
        letter = before.notes.get("letter", "")
        if disk.file_system != before.notes.get("system") or (disk.files or {}).get("/letter") != letter:
            return wrong(
                _("{name} is not made of the file: it does not hold the letter that was in there.").format(name=name),
                _("Delete it, and import ex.file as what it is: lab.disks.import_file(…, format=…)."),
            )
        if disk.machine != self.machine:
            return wrong(
                _("{name} is not attached to {machine}.").format(name=name, machine=self.machine),
                _("Attach it: vm.attach({name!r}).").format(name=name),
                "lab.machines[ex.machine].attach(ex.disks[1])",
            )
        if machine.said is None:
            return wrong(
                _("{name} does not answer: it is {state}.").format(name=self.machine, state=state_word(machine.state)),
                _("Start it if it is off, and wait until it is ready: vm.wait_ready()."),
                "lab.machines[ex.machine].start().wait_ready()",
            )
        if f"/dev/{disk.target} {letter}" not in [line.rstrip(" -") for line in machine.tells("letters").splitlines()]:
            return wrong(
                _("Inside, the letter of {name} cannot be read below /mnt.").format(name=name),
                _("Mount the disk inside: labkit-mount {target}.").format(target=disk.target),
                'lab.machines[ex.machine].run(f"labkit-mount {lab.disks[ex.disks[1]].target}")',
            )
        return done(_("The guest reads its letter."))


class FullHost(MachineExercise):
    """A guest that stands still because its storage is full."""

    slug: ClassVar[str] = "full-host"
    alias: ClassVar[str] = "anfitrion-lleno"
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
        return ("full-host-data",)

    @property
    def bytes(self) -> int:
        """How many it means to write."""
        return self.drawn("bytes", 12 * MIB, 13 * MIB, 14 * MIB)

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Whether it has written to the end, and what it meant to."""
        same = f"[ -e /run/written ] && {self._content} | cmp - /mnt/vdb/data && echo same"
        return {self.machine: {"written": "ls /run/written", "same": same}}

    def prepare(self) -> Mapping[str, str]:
        """Let a guest write more than its storage has room for."""
        disk = self.lab.disks.create(
            self.disks[0], capacity=self.drawn("capacity", 48 * MIB, 40 * MIB, 56 * MIB)
        ).serve(room=self.drawn("room", 8 * MIB, 7 * MIB, 9 * MIB))
        (machine,) = self.boot(disk)
        machine.run(f"labkit-mount vdb; {self._content} > /run/data")
        boot = machine.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()
        copy = "dd if=/run/data of=/mnt/vdb/data bs=64k conv=fsync && touch /run/written"
        machine.run(f"(sleep 1; {copy}) >/run/log 2>&1 &")
        machine.wait_for("paused", timeout=180)
        return {"boot": boot}

    @property
    def _content(self) -> str:
        return f"yes {self.mark * 64} | head -c {self.bytes}"  # long lines: each costs time in a guest

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look whether it goes on, whether it is the same boot, and what it has written."""
        was, there = before.reading.machines[self.machine], now.machines[self.machine]
        if there.state not in (MachineState.PAUSED, MachineState.RUNNING):
            return broken(
                _("{name} is {state}: what it was writing was in its memory.").format(
                    name=self.machine, state=state_word(there.state)
                )
            )
        if there.process != was.process or (there.said is not None and there.boot != before.notes.get("boot")):
            return broken(_("You rebooted it: of what it was writing it knows nothing any more."))
        if there.state is MachineState.PAUSED:
            return wrong(
                _("{name} is paused: {reason}.").format(name=self.machine, reason=reason_word(there.reason)),
                _('Its storage must have room first: disk.serve(room="64 MiB"). Then vm.resume().'),
            )
        if not there.tells("written"):
            return wrong(
                _("It goes on, and is still writing."),
                _("Give it a moment, and check again."),
                'lab.machines[ex.machine].run("until [ -e /run/written ]; do usleep 100000; done")',
            )
        if there.tells("same") != "same":
            return broken(_("What it has written is not what it meant to write."))
        return done(_("It went on without a boot, and all is written."))
