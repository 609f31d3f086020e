"""The exercises of notebook 05 in which something is wrong with a base: `base-mudada`, `base-tocada`.

Each prepares an original with linked clones, off, and damages the frozen image they stand on. Checks read images.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.exercises.clones import PLACE, OnClones
from labkit.errors import LabError
from labkit.language import _
from labkit.storage.files import make_private_folder
from labkit.units import MIB

CAPACITY = 4 * MIB
"""Bytes of the data disk; an image this small is sealed by its content at once."""


class _OnBase(OnClones):
    """An exercise whose clones stand on the frozen image of a data disk."""

    @property
    def place(self) -> Path:
        """The frozen image of the data disk, which everybody stands on."""
        return self.lab.home / "disks" / f"{self.machine}.data.0.raw"

    def alter(self, content: bytes) -> bytes:
        """Return the content with a few bytes changed, at the same length."""
        raise NotImplementedError

    def find_refusal(self) -> str | None:
        """Return why one of the machines would not start, or None."""
        for name in self.machines:
            if refusal := self.vm(name).snapshots.why_not_start():
                return refusal.why
        return None

    def is_whole(self) -> bool:
        """Whether the base holds what it held, and each machine reads that through its own chain."""
        if self.place.read_bytes() != self.fill(CAPACITY):
            return False
        try:
            return all(self.word_on(name) == self.mark for name in self.machines)
        except LabError:
            return False


class MovedBase(_OnBase):
    """A base that was moved, and two candidates of which one was altered."""

    slug: ClassVar[str] = "base-mudada"
    code: ClassVar[str] = (
        "from labkit.errors import Refused\n"
        "vm = lab.machines[ex.machines[1]]\n"
        "for file in sorted(ex.folder.iterdir()):\n"
        "    try:\n"
        '        vm.relink("data", file)\n'
        "    except Refused as refusal:\n"
        "        print(refusal)"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, and its clone."""
        return (self.slug, f"{self.slug}-clon")

    def alter(self, content: bytes) -> bytes:
        """Change one byte, far from the mark."""
        return content[: 3 * MIB] + b"\x01" + content[3 * MIB + 1 :]

    def prepare(self) -> None:
        """Move the base away, and put a copy with one changed byte beside it."""
        self.make_original(capacity=f"{CAPACITY}").clone(self.machines[1], kind="linked", snapshot="base")
        make_private_folder(self.folder)
        names = ["uno.raw", "dos.raw"]
        right, altered = names if int(self.mark, 16) % 2 else reversed(names)
        self.place.rename(self.folder / right)
        (self.folder / altered).write_bytes(self.alter(self.fill(CAPACITY)))

    def look_closer(self) -> Result:
        """Look at the image in the base's place, and at the seals."""
        if not self.place.exists():
            return self.wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=self.place.name),
                _("One of the files in ex.folder was it: {call} takes a file only if it holds the same.").format(
                    call='vm.relink("data", file)'
                ),
            )
        if not self.is_whole():
            return self.wrong(
                _("{file} is there again, but it is not the same image: one byte is another.").format(
                    file=self.place.name
                ),
                _("Equal names and sizes prove nothing. Take it away, and let relink compare the fingerprints."),
            )
        if why := self.find_refusal():
            return self.wrong(
                why, _("The content is right again; the seal is another's: vm.snapshots.accept_changes().")
            )
        return self.done(_("The base is back, proven by its fingerprint."))


class TouchedBase(_OnBase):
    """A base that was written to behind its clones, and a full copy of it."""

    slug: ClassVar[str] = "base-tocada"
    code: ClassVar[str] = (
        'copy = lab.disks["base-tocada-copia.data"]\nlab.machines["base-tocada-1"].relink("data", copy.path)'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, two linked clones, and the full copy."""
        return (self.slug, f"{self.slug}-1", f"{self.slug}-2", f"{self.slug}-copia")

    def alter(self, content: bytes) -> bytes:
        """Change the mark."""
        return content[:PLACE] + b"altered!" + content[PLACE + 8 :]

    def prepare(self) -> None:
        """Make all four, then write to the base past the lab."""
        original = self.make_original(capacity=f"{CAPACITY}")
        original.clone(self.machines[3], snapshot="base", reflink=False)
        original.clone(f"{self.slug}-{{}}", kind="linked", snapshot="base", count=2)
        self.place.chmod(0o644)
        self.place.write_bytes(self.alter(self.fill(CAPACITY)))
        self.place.chmod(0o444)

    def look_closer(self) -> Result:
        """Look at what the clones read, and at the seals."""
        copy = self.machines[3]
        if self.word_on(copy) != self.mark:
            return self.broken(_("{name} has lost its content.").format(name=copy))
        if not self.place.exists():
            return self.wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=self.place.name),
                _("{name} is a full copy of the same state: relink from its image.").format(name=copy),
            )
        why = self.find_refusal()
        if not self.is_whole() and why is None:
            return self.wrong(
                _("The altered base was accepted: the clones start, with the wrong content."),
                _("Write the content of the image of {name} into {file}, and accept that.").format(
                    name=copy, file=self.place.name
                ),
            )
        if not self.is_whole():
            return self.wrong(
                _("{name} reads something else than it did.").format(name=self.machines[1]),
                _("qemu-img check does not see this. {name} is a full copy of the same state: relink from it.").format(
                    name=copy
                ),
            )
        if why is not None:
            return self.wrong(
                why, _("The content is right again; the seal is another's: vm.snapshots.accept_changes().")
            )
        return self.done(_("The clones read what they read before."))
