"""The exercises of notebook 03 on a disk's file system: `slimmer`, `grow`.

Each prepares a machine with a data disk. Checks read the files in the image, from outside, so the guest need not run.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.machine_exercise import DataDiskExercise
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.units import MIB, format_size

_SYNC = {"sync": "sync"}
"""Asked before images are read: what a guest still holds back is not in them."""


class _OnFiles(DataDiskExercise):
    """An exercise on the file system of one data disk."""

    reads_files: ClassVar[bool] = True

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Nothing but to write what it holds back."""
        return {self.machine: _SYNC}

    def why_not_kept(self, before: Evidence, now: Reading, *names: str) -> Result | None:
        """Return what has become of files that were to be kept, or None."""
        was, disk = before.reading.disks[self.disks[0]], now.disks[self.disks[0]]
        if disk.files is None:
            return wrong(
                _("The disk {name} has no file system that can be read.").format(name=self.disks[0]),
                _("Call ex.start(): it makes everything again."),
                "ex.start()",
            )
        if disk.file_system != was.file_system:
            return broken(
                _("The file system is another one than at the start: it was made anew, and all that was in it is lost.")
            )
        for name in names:
            if name not in disk.files:
                return broken(_("The file {name} is gone.").format(name=name.lstrip("/")))
            if disk.files[name] != (was.files or {}).get(name):
                return broken(_("The file {name} is there, with another content.").format(name=name.lstrip("/")))
        return None


class Slim(_OnFiles):
    """Give the space of deleted files back to the host, and keep one file."""

    slug: ClassVar[str] = "slimmer"
    alias: ClassVar[str] = "adelgazar"
    most: ClassVar[int] = 8 * MIB
    code: ClassVar[str] = 'vm = lab.machines[ex.machine]\nvm.run("fstrim /mnt/vdb; sync")'

    def prepare(self) -> None:
        """Fill a disk with files, and delete all but one."""
        capacity = self.drawn("capacity", 64 * MIB, 48 * MIB, 80 * MIB)
        junk = self.drawn("junk", 12, 14, 16)
        (machine,) = self.boot(self.lab.disks.create(self.disks[0], capacity=capacity))
        machine.run(
            f"labkit-mount vdb && {{ echo {self.mark}; head -c 30000 /dev/urandom; }} > /mnt/vdb/keep"
            f" && dd if=/dev/urandom of=/mnt/vdb/junk bs=1M count={junk} && sync && rm /mnt/vdb/junk && sync"
        )

    def read(self) -> Reading:
        """Read also what the host gives the disk."""
        found = super().read()
        return replace(found, measured={name: float(self.lab.disks[name].allocated) for name in found.disks})

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at what the host gives, and for the file that is to be kept, in the disk's file system."""
        if trouble := self.why_not_kept(before, now, "/keep"):
            return trouble
        allocated = int(now.measured.get(self.disks[0], 0))
        if allocated > self.most:
            return wrong(
                _("The host still gives it {size}: nobody told the disk that files were deleted.").format(
                    size=format_size(allocated)
                ),
                _("The guest can tell it: fstrim, on the folder where the disk is mounted; then sync."),
            )
        if now.disks[self.disks[0]].capacity != before.reading.disks[self.disks[0]].capacity:
            return wrong(
                _("The disk has another capacity now: it was to take less of the host, not to be a smaller one."),
                _("Call ex.start(), and tell the disk what is no longer needed."),
                "ex.start()",
            )
        return done(_("The host has its space back, and the file is kept."))


class Grow(_OnFiles):
    """Give a full disk more room without losing anything."""

    slug: ClassVar[str] = "grow"
    alias: ClassVar[str] = "crecer"
    code: ClassVar[str] = (
        'lab.disks[ex.disks[0]].resize(ex.wanted)\nvm = lab.machines[ex.machine]\nvm.run("resize2fs /dev/vdb; sync")'
    )

    @property
    def capacity(self) -> int:
        """Bytes of the full disk."""
        return self.drawn("capacity", 16 * MIB, 20 * MIB, 24 * MIB)

    @property
    def wanted(self) -> int:
        """Bytes that the disk and its file system are to have."""
        return 2 * self.capacity

    @property
    def amounts(self) -> Mapping[str, str]:
        """What the disk has, and what it is to have."""
        return {"capacity": format_size(self.capacity), "wanted": format_size(self.wanted)}

    def prepare(self) -> None:
        """Fill the file system of a small disk."""
        (machine,) = self.boot(self.lab.disks.create(self.disks[0], capacity=self.capacity))
        machine.run(
            f"labkit-mount vdb && {{ echo {self.mark}; head -c 30000 /dev/urandom; }} > /mnt/vdb/keep && sync;"
            " dd if=/dev/urandom of=/mnt/vdb/part bs=1M count=2;"
            " while cat /mnt/vdb/part >>/mnt/vdb/full; do :; done; sync"
        )

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare the disk's capacity with what its file system says of itself, and its files with what they were."""
        disk = now.disks[self.disks[0]]
        if trouble := self.why_not_kept(before, now, *(before.reading.disks[self.disks[0]].files or {})):
            return trouble
        least = self.wanted - 2 * MIB  # somebody may have counted otherwise, and a file system has less than its disk
        if disk.capacity < least:
            return wrong(
                _("The disk has {size}, and it is full.").format(size=format_size(disk.capacity)),
                _("A disk grows with {call}, also while its guest runs.").format(call="disk.resize(ex.wanted)"),
                "lab.disks[ex.disks[0]].resize(ex.wanted)",
            )
        if disk.file_system_bytes < least:
            return wrong(
                _("The disk grew, not its file system."),
                _("Tell it inside the guest: resize2fs /dev/vdb; then sync."),
                'lab.machines[ex.machine].run("resize2fs /dev/vdb; sync")',
            )
        return done(_("Disk and file system grew, and every file is kept."))
