"""The exercises of notebook 05 in which a base is out of order: `moved-base`, `touched-base`.

Each prepares an original with linked clones, off, and spoils the frozen image they stand on. Checks read images.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from labkit.course.exercises.clones import PLACE, OnClones
from labkit.course.readers import hash_if_there, why_not_start
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.storage.files import make_private_folder
from labkit.units import MIB

BASE, NAME = "base", "name"
"""Notes of the start: what the base held, how its file is called."""


class _OnBase(OnClones):
    """An exercise whose clones stand on the frozen image of a data disk."""

    @property
    def place(self) -> Path:
        """The frozen image of the data disk: everybody stands on it."""
        evidence = self.evidence
        return self.lab.home / "disks" / (evidence.notes.get(NAME, "") if evidence else "")

    @property
    def standing(self) -> tuple[str, ...]:
        """The machines whose data disks stand on it."""
        return self.machines

    def alter(self, content: bytes) -> bytes:
        """Return content with a few bytes changed, and of the same length."""
        raise NotImplementedError

    def spoil(self, base: Path) -> None:
        """Do to the base what is to be repaired."""
        raise NotImplementedError

    def note_and_spoil(self) -> Mapping[str, str]:
        """Spoil the base; return what it is called and was, and what each machine read."""
        tree = self.vm(self.machine).snapshots.tree
        base = next(Path(disk.path) for disk in tree[BASE].disks if disk.target == "vdb")
        good, content = super().read(), hash_if_there(base)
        self.spoil(base)
        return {NAME: base.name, BASE: content, **{name: disk.content for name, disk in good.disks.items()}}

    def read(self) -> Reading:
        """Read also the image in the base's place, and whether every machine would start."""
        found, place = super().read(), self.place
        refusals = [why for name in found.machines if (why := why_not_start(self.vm(name)))]
        return replace(
            found, files={BASE: hash_if_there(place) if place.is_file() else ""}, excuse=next(iter(refusals), "")
        )

    def why_cut_loose(self, base: str, now: Reading) -> Result | None:
        """Return that a machine can be read and does not stand on the base any more, or None."""
        for name in self.standing:
            disk = now.disks.get(name)
            if disk is not None and disk.content and base not in disk.images:
                return wrong(
                    _("{name} does not stand on {file} any more: it was made to do without.").format(
                        name=name, file=base
                    ),
                    _("The base is to be repaired, not avoided. Call ex.start(), and bring the right image back."),
                    "ex.start()",
                )
        return None

    def reads_as_before(self, before: Evidence, now: Reading) -> bool:
        """Whether the base is the image that it was, and each machine reads through it what it read."""
        return now.files[BASE] == before.notes.get(BASE) and all(
            self.content_of(name, now) == before.notes.get(name) for name in self.standing
        )


class MovedBase(_OnBase):
    """A base that was moved, and two candidates of which one was altered."""

    slug: ClassVar[str] = "moved-base"
    alias: ClassVar[str] = "base-mudada"
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
        return (self.slug, f"{self.slug}-clone")

    def alter(self, content: bytes) -> bytes:
        """Change one byte, far from the mark."""
        return content[: 3 * MIB] + b"\x01" + content[3 * MIB + 1 :]

    def prepare(self) -> Mapping[str, str]:
        """Move the base away, beside a copy in which one byte is another."""
        self.make_original().clone(self.machines[1], kind="linked", snapshot="base")
        return self.note_and_spoil()

    def spoil(self, base: Path) -> None:
        """Move it away, beside one that looks like it."""
        make_private_folder(self.folder)
        names = ["one.raw", "two.raw"]
        right, altered = names if int(self.mark, 16) % 2 else reversed(names)
        base.rename(self.folder / right)
        (self.folder / altered).write_bytes(self.alter(self.fill(self.capacity)))

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at the image in the base's place, and at the seals."""
        base = before.notes.get(NAME, "")
        if loose := self.why_cut_loose(base, now):
            return loose
        if not now.files[BASE]:
            return wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=base),
                _("One of the files in ex.folder was it: {call} takes a file only if it holds the same.").format(
                    call='vm.relink("data", file)'
                ),
            )
        if not self.reads_as_before(before, now):
            return wrong(
                _("{file} is there again, but it is not the same image: its content is another.").format(file=base),
                _("Equal names and sizes prove nothing. Take it away, and let relink compare the fingerprints."),
            )
        if now.excuse:
            return wrong(
                now.excuse,
                _("The content is right again; the seal is another's: vm.snapshots.accept_changes()."),
                "lab.machines[ex.machine].snapshots.accept_changes()",
            )
        return done(_("The base is back, proven by its fingerprint."))


class TouchedBase(_OnBase):
    """A base that was written to behind its clones, and a full copy of it."""

    slug: ClassVar[str] = "touched-base"
    alias: ClassVar[str] = "base-tocada"
    code: ClassVar[str] = (
        'copy = lab.disks["touched-base-copy.data"]\nlab.machines["touched-base-1"].relink("data", copy.path)'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, two linked clones, and the full copy."""
        return (self.slug, f"{self.slug}-1", f"{self.slug}-2", f"{self.slug}-copy")

    @property
    def standing(self) -> tuple[str, ...]:
        """All but the copy."""
        return self.machines[:3]

    def alter(self, content: bytes) -> bytes:
        """Change the mark."""
        return content[:PLACE] + b"altered!" + content[PLACE + 8 :]

    def prepare(self) -> Mapping[str, str]:
        """Make all four, then write to the base past the lab."""
        original = self.make_original()
        original.clone(self.machines[3], snapshot="base", reflink=False)
        original.clone(f"{self.slug}-{{}}", kind="linked", snapshot="base", count=2)
        return self.note_and_spoil()

    def spoil(self, base: Path) -> None:
        """Write to it."""
        base.chmod(0o644)
        base.write_bytes(self.alter(self.fill(self.capacity)))
        base.chmod(0o444)

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at what the clones read, and at the seals."""
        copy, base = self.machines[3], before.notes.get(NAME, "")
        if self.content_of(copy, now) != before.notes.get(copy):
            return broken(_("{name} has lost its content.").format(name=copy))
        if loose := self.why_cut_loose(base, now):
            return loose
        if not now.files[BASE]:
            return wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=base),
                _("{name} is a full copy of the same state: relink from its image.").format(name=copy),
            )
        whole = self.reads_as_before(before, now)
        if not whole and not now.excuse:
            return wrong(
                _("The altered base was accepted: the clones start, with the wrong content."),
                _("Write the content of the image of {name} into {file}, and accept that.").format(
                    name=copy, file=base
                ),
            )
        if not whole:
            return wrong(
                _("{name} reads something else than it did.").format(name=self.machines[1]),
                _("qemu-img check does not see this. {name} is a full copy of the same state: relink from it.").format(
                    name=copy
                ),
            )
        if now.excuse:
            return wrong(
                now.excuse,
                _("The content is right again; the seal is another's: vm.snapshots.accept_changes()."),
                "lab.machines[ex.machine].snapshots.accept_changes()",
            )
        return done(_("The clones read what they read before."))
