"""The exercises of notebook 03: `marca`, `fijo-de-verdad`, `adelgazar`, `crecer`.

Each prepares machines and disks of its own. Checks read the host's files and the hypervisor; none needs the
guest to run.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from labkit.course.disk_exercise import DiskExercise, read_bytes
from labkit.course.exercise import Result
from labkit.disk import Disk
from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.units import MIB, format_size

BLOCK = 4096


class MarkedDisk(DiskExercise):
    """Find a block of the guest's disk in the host's files, and write there."""

    slug: ClassVar[str] = "marca"
    code: ClassVar[str] = (
        "for name in ex.disks:\n"
        "    path, offset = lab.disks[name].locate(ex.offset)\n"
        '    with path.open("r+b") as file:\n'
        "        file.seek(offset)\n"
        "        file.write(ex.reply)"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, which is off after the start."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """A disk in each of two formats."""
        return ("marca-qcow2", "marca-vdi")

    @property
    def offset(self) -> int:
        """The offset on its disk where the guest put the mark; it differs from student to student."""
        return (256 + int(self.mark, 16) % 8192) * BLOCK

    @property
    def reply(self) -> bytes:
        """What is to be written there instead, as long as the mark."""
        return f"OK{self.mark[2:]}".encode()

    def prepare(self) -> None:
        """Let a guest write its mark on both disks, and stop it."""
        made = [
            self.lab.disks.create(name, capacity="64 MiB", format=name.removeprefix("marca-")) for name in self.disks
        ]
        machine = self.boot(*made)
        for disk in made:
            where = f"of=/dev/{disk.target} bs={BLOCK} seek={self.offset // BLOCK} conv=sync,fsync"
            machine.run(f"head -c 262144 /dev/urandom | dd of=/dev/{disk.target} conv=fsync")
            machine.run(f"printf {self.mark} | dd {where}")
        machine.stop()

    def look_closer(self) -> Result:
        """Read both files where the guest's block is."""
        for name in self.disks:
            disk = self.lab.disks[name]
            found = read_bytes(disk, self.offset, len(self.reply))
            if found == self.reply:
                continue
            if self._at_the_guests_number(disk):
                return self.wrong(
                    _("In {name} you wrote at byte {offset} of the file: that is the guest's position.").format(
                        name=name, offset=self.offset
                    ),
                    _("The file has another order. Ask disk.locate(ex.offset), after ex.start()."),
                )
            if found != self.mark.encode():
                return self.broken(_("In {name} there is neither the mark nor your answer.").format(name=name))
            return self.wrong(
                _("In {name} the guest's mark is still there.").format(name=name),
                _("disk.locate(ex.offset) tells file and position; open the file with mode r+b."),
            )
        return self.done(_("The guest would read your answer on both disks."))

    def _at_the_guests_number(self, disk: Disk) -> bool:
        with disk.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(len(self.reply)) == self.reply


class TrulyFixed(DiskExercise):
    """A disk that calls itself fixed but is not."""

    slug: ClassVar[str] = "fijo-de-verdad"
    code: ClassVar[str] = (
        "false, spare = ex.disks\n"
        'lab.disks[false].convert(spare, format="vhd", allocation="fixed")\n'
        "lab.disks[false].delete()\n"
        'lab.disks[spare].convert(false, format="vhd", allocation="fixed")\n'
        "lab.disks[spare].delete()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """None: the disk is free."""
        return ()

    @property
    def disks(self) -> tuple[str, ...]:
        """The disk, and a name for a copy."""
        return (self.slug, "fijo-copia")

    @property
    def needed(self) -> tuple[str, ...]:
        """Only the disk: the copy need not exist."""
        return (self.slug,)

    def prepare(self) -> None:
        """Make a fixed disk, put the mark on it, and give the zeros in the host's file back."""
        disk = self.lab.disks.create(self.slug, capacity="32 MiB", format="vhd", allocation="fixed")
        with disk.path.open("r+b") as file:
            file.write(self.mark.encode())
        _make_sparse(disk.path)

    def look_closer(self) -> Result:
        """Compare header, length and allocated bytes."""
        facts = self.lab.disks[self.slug].facts
        if facts.format is not Format.VHD or facts.allocation is not Allocation.FIXED:
            return self.wrong(
                _("It is {format}, {allocation} now.").format(format=facts.format, allocation=facts.allocation),
                _('It is to stay a VHD, and fixed: convert(…, format="vhd", allocation="fixed").'),
            )
        if read_bytes(self.lab.disks[self.slug], 0, len(self.mark)) != self.mark.encode():
            return self.wrong(
                _("What was on the disk is no longer there."),
                _("Call ex.start(), then convert it: a new disk would be empty."),
            )
        if facts.allocated < facts.capacity:
            return self.wrong(
                _("The length is right ({length}), what is allocated is not ({allocated}).").format(
                    length=format_size(facts.length), allocated=format_size(facts.allocated)
                ),
                _("Only writing makes the host give space. A fixed disk made by the lab is written all through."),
            )
        return self.done(_("The host has given it every byte."))


class Slim(DiskExercise):
    """Give the space of deleted files back to the host, and keep one file."""

    slug: ClassVar[str] = "adelgazar"
    most: ClassVar[int] = 8 * MIB
    code: ClassVar[str] = 'vm = lab.machines[ex.machine]\nvm.run("fstrim /mnt/vdb; sync")'

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its data disk."""
        return ("adelgazar-datos",)

    def prepare(self) -> None:
        """Fill a disk with files, and delete all but one."""
        machine = self.boot(self.lab.disks.create(self.disks[0], capacity="64 MiB"))
        machine.run(
            f"labkit-mount vdb && echo {self.mark} > /mnt/vdb/keep"
            " && dd if=/dev/urandom of=/mnt/vdb/junk bs=1M count=32 && sync && rm /mnt/vdb/junk && sync"
        )

    def look_closer(self) -> Result:
        """Look at the allocated bytes, and for the file that is to be kept."""
        disk = self.lab.disks[self.disks[0]]
        if self.mark.encode() not in disk.path.read_bytes():
            return self.wrong(
                _("The file {name} is gone.").format(name="keep"), _("Call ex.start(): it makes everything again.")
            )
        if disk.allocated > self.most:
            return self.wrong(
                _("The host still gives it {size}: nobody told the disk that files were deleted.").format(
                    size=format_size(disk.allocated)
                ),
                _("The guest can tell it: fstrim, on the folder where the disk is mounted; then sync."),
            )
        return self.done(_("The host has its space back, and the file is kept."))


class Grow(DiskExercise):
    """Give a full disk more capacity without losing anything."""

    slug: ClassVar[str] = "crecer"
    least: ClassVar[int] = 30 * MIB
    code: ClassVar[str] = (
        'lab.disks[ex.disks[0]].resize("32 MiB")\nvm = lab.machines[ex.machine]\nvm.run("resize2fs /dev/vdb; sync")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its data disk."""
        return ("crecer-datos",)

    def prepare(self) -> None:
        """Fill the file system of a small disk."""
        machine = self.boot(self.lab.disks.create(self.disks[0], capacity="16 MiB"))
        machine.run(
            f"labkit-mount vdb && echo {self.mark} > /mnt/vdb/keep && sync;"
            " dd if=/dev/urandom of=/mnt/vdb/full bs=64k; sync"
        )

    def look_closer(self) -> Result:
        """Compare the disk's capacity with what its file system says of itself."""
        disk = self.lab.disks[self.disks[0]]
        if disk.capacity < self.least:
            return self.wrong(
                _("The disk has {size}, and it is full.").format(size=format_size(disk.capacity)),
                _('A disk grows with disk.resize("32 MiB"), also while its guest runs.'),
            )
        if self.mark.encode() not in disk.path.read_bytes():
            return self.wrong(
                _("The file {name} is gone.").format(name="keep"), _("Call ex.start(): it makes everything again.")
            )
        if _file_system_bytes(disk) < self.least:
            return self.wrong(
                _("The disk grew, not its file system."), _("Tell it inside the guest: resize2fs /dev/vdb; then sync.")
            )
        return self.done(_("Disk and file system grew, and the file is kept."))


def _file_system_bytes(disk: Disk) -> int:
    """Return the size an ext4 file system says it has, from its superblock on the host's side."""
    blocks = int.from_bytes(read_bytes(disk, 1024 + 4, 4), "little")
    return blocks * (1024 << int.from_bytes(read_bytes(disk, 1024 + 24, 4), "little"))


def _make_sparse(path: Path) -> None:
    """Give a file's zeros back to the host; its length and what is read from it stay the same."""
    data = path.read_bytes()
    with path.open("wb") as file:
        for place in range(0, len(data), BLOCK):
            block = data[place : place + BLOCK]
            if block.strip(b"\0"):
                file.seek(place)
                file.write(block)
        file.truncate(len(data))
