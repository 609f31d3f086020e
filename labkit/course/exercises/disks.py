"""The exercises of notebook 03 on what a file holds: `follow-the-mark`, `truly-fixed`.

Each prepares disks of its own. Checks read the host's files; none needs a guest to run.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from labkit.course.exercise import Exercise
from labkit.course.machine_exercise import MachineExercise
from labkit.course.readers import WORD, read_disk
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.units import MIB, format_size

BLOCK = 4096


class MarkedDisk(MachineExercise):
    """Find a block of the guest in the host's files, and write there."""

    slug: ClassVar[str] = "follow-the-mark"
    alias: ClassVar[str] = "marca"
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
        return ("mark-qcow2", "mark-vdi")

    @property
    def capacity(self) -> int:
        """Bytes of each of its disks."""
        return self.drawn("capacity", 64 * MIB, 48 * MIB, 80 * MIB)

    @property
    def offset(self) -> int:
        """Where the guest put the mark: a byte of its disk that differs from student to student."""
        return (256 + int(self.mark, 16) % 8192) * BLOCK

    @property
    def reply(self) -> bytes:
        """What is to stand there instead: as long as the mark."""
        return f"OK{self.mark[2:]}".encode()

    def prepare(self) -> None:
        """Let a guest write its mark on both disks, among other things and marks that look like it, and stop it."""
        made = [
            self.lab.disks.create(name, capacity=self.capacity, format=name.removeprefix("mark-"))
            for name in self.disks
        ]
        (machine,) = self.boot(*made)
        place, decoy = self.offset // BLOCK, (self.offset // BLOCK + 4096) % 8192 + 256
        for disk in made:
            at = f"dd of=/dev/{disk.target} bs={BLOCK} conv=sync,fsync"
            machine.run(
                f"head -c 262144 /dev/urandom | dd of=/dev/{disk.target} conv=fsync;"
                f" printf {self.mark[::-1]} | {at} seek={decoy}; printf {self.mark} | {at} seek={place}"
            )
        machine.stop()

    def read(self) -> Reading:
        """Read both disks where the guest's block lies and elsewhere, the files at that number, the system disk."""
        there = {name: self.lab.disks[name] for name in self.disks if name in self.lab.disks}
        system = next((disk for disk in self.lab.disks.values() if disk.name == f"{self.machine}.vda"), None)
        return replace(
            super().read(),
            disks={
                name: read_disk(disk, words={"mark": self.offset}, leave_out=self.offset)
                for name, disk in there.items()
            },
            files={
                **{name: _text_at(disk.path, self.offset) for name, disk in there.items()},
                **({"system": str(system.path.stat().st_mtime_ns)} if system else {}),
            },
        )

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See what stands where the guest's block lies, and that nothing else was changed."""
        reply = self.reply.decode()
        for name in self.disks:
            if now.disks[name].words.get("mark", "") == reply:
                continue
            found = now.disks[name].words.get("mark", "")
            if now.files.get(name) == reply:
                return wrong(
                    _("In {name} you wrote at byte {offset} of the file: that is the guest's position.").format(
                        name=name, offset=self.offset
                    ),
                    _("The file has another order. Ask disk.locate(ex.offset), after ex.start()."),
                    "ex.start()",
                )
            if found != self.mark:
                return broken(_("In {name} there is neither the mark nor your answer.").format(name=name))
            return wrong(
                _("In {name} the guest's mark is still there.").format(name=name),
                _("disk.locate(ex.offset) tells file and position; open the file with mode r+b."),
            )
        for name in self.disks:
            if now.disks[name].content != before.reading.disks[name].content:
                return wrong(
                    _("Your answer is there, and more of {name} was changed than its {count} bytes.").format(
                        name=name, count=len(reply)
                    ),
                    _("Call ex.start(), and write ex.reply over the mark, exactly there and nowhere else."),
                    "ex.start()",
                )
        if now.files.get("system") != before.reading.files.get("system"):
            return wrong(
                _("The answer is there, and {name} was started meanwhile: its system disk was written to.").format(
                    name=self.machine
                ),
                _("Call ex.start(), and do it without the guest, in the host's files."),
                "ex.start()",
            )
        return done(_("The guest would read your answer on both disks."))


class TrulyFixed(Exercise):
    """A disk that calls itself fixed, and is not."""

    slug: ClassVar[str] = "truly-fixed"
    alias: ClassVar[str] = "fijo-de-verdad"
    reads_contents: ClassVar[bool] = True
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
        return (self.slug, "fixed-copy")

    @property
    def capacity(self) -> int:
        """Bytes of the disk."""
        return self.drawn("capacity", 32 * MIB, 24 * MIB, 40 * MIB)

    @property
    def needed(self) -> tuple[str, ...]:
        """None: on the way it may be gone for a while."""
        return ()

    def prepare(self) -> None:
        """Make a fixed disk, put the mark and more on it, and take its zeros from the host's file."""
        disk = self.lab.disks.create(self.slug, capacity=self.capacity, format="vhd", allocation="fixed")
        with disk.path.open("r+b") as file:
            file.write(self.mark.encode())
            for place in (3, 17, self.capacity // MIB - 3):
                file.seek(place * MIB)
                file.write(os.urandom(BLOCK))
        _make_sparse(disk.path)

    def read(self) -> Reading:
        """Read the disks, and what the host gave them."""
        found = super().read()
        return replace(found, measured={name: float(self.lab.disks[name].allocated) for name in found.disks})

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare header, content and what the host gave."""
        was, disk = before.reading.disks[self.slug], now.disks.get(self.slug)
        if disk is None:
            copy = now.disks.get(self.disks[1])
            if copy is not None and copy.content == was.content:
                return wrong(
                    _("There is no disk {name} now; its content is in {copy}.").format(
                        name=self.slug, copy=self.disks[1]
                    ),
                    _("Convert that one to the name that is free: lab.disks[…].convert(…)."),
                    'lab.disks[ex.disks[1]].convert(ex.slug, format="vhd", allocation="fixed")',
                )
            return broken(_("The disk {name} is gone.").format(name=self.slug))
        if disk.format is not Format.VHD or disk.allocation is not Allocation.FIXED:
            return wrong(
                _("It is {format}, {allocation} now.").format(format=disk.format, allocation=disk.allocation),
                _('It is to stay a VHD, and fixed: convert(…, format="vhd", allocation="fixed").'),
            )
        if disk.content != was.content or disk.capacity != was.capacity:
            return broken(
                _("What was on the disk is no longer there, or not all of it."),
                _("Call ex.start(), then convert it: a new disk would be empty."),
            )
        allocated = int(now.measured.get(self.slug, 0))
        if allocated < disk.capacity:
            return wrong(
                _("The length is right, what is allocated is not: {allocated} of {capacity}.").format(
                    capacity=format_size(disk.capacity), allocated=format_size(allocated)
                ),
                _("Only writing makes the host give space. A fixed disk made by the lab is written all through."),
            )
        return done(_("The host has given it every byte."))


def _text_at(path: Path, place: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(place)
            return file.read(WORD).split(b"\0", 1)[0].decode(errors="replace")[:8]
    except OSError:
        return ""


def _make_sparse(path: Path) -> None:
    """Give a file's zeros back to the host: its length stays, and what it reads."""
    data = path.read_bytes()
    with path.open("wb") as file:
        for place in range(0, len(data), BLOCK):
            block = data[place : place + BLOCK]
            if block.strip(b"\0"):
                file.seek(place)
                file.write(block)
        file.truncate(len(data))
