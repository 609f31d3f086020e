"""The exercises of notebook 04 in which images are out of order: `orphans`, `broken-chain`.

Each prepares a machine of its own, off, and spoils its folder. Checks look at the images from outside.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from labkit.course.exercises.snapshots import DATA, OnSnapshots, why_missing
from labkit.course.readers import hash_if_there, read_image_names, read_states
from labkit.course.reading import Evidence, Reading, StateReading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _, ngettext
from labkit.machine import Machine
from labkit.model.disk import image_path
from labkit.model.image import Allocation, Format
from labkit.storage import qemu_img
from labkit.storage.files import make_private_folder

NOW = "now"


class _InOrder(OnSnapshots):
    """An exercise on states that came one after the other: each holds the words of all before it."""

    words: ClassVar[tuple[str, ...]]
    """What is written, in order; a snapshot is taken after each but `now`."""

    def live_through(self) -> Machine:
        """Return the machine, off, after it has been in every state."""
        machine = self.begin()
        for place, name in enumerate(self.words):
            self.write(machine, self.word(name), at=place)
            if name != NOW:
                machine.snapshots.take(name)
        return machine.kill()  # what was to be kept was synced

    def in_states(self, found: Mapping[str, StateReading], now: StateReading | None) -> dict[str, str]:
        """Return the hash of what the data disk holds in each state."""
        states = {**found, **({NOW: now} if now else {})}
        return {name: state.contents.get(DATA, "") for name, state in states.items()}


class NobodysImages(_InOrder):
    """Images that belong to nothing, among good ones."""

    slug: ClassVar[str] = "orphans"
    alias: ClassVar[str] = "huerfanas"
    code: ClassVar[str] = (
        "from pathlib import Path\n"
        "state, needed = lab.state, set()\n"
        "for path in state.roots:\n"
        "    while path in state.images:\n"
        "        needed.add(path)\n"
        "        path = state.images[path].backing\n"
        "for path in set(state.images) - needed:\n"
        "    Path(path).unlink()"
    )
    words: ClassVar[tuple[str, ...]] = ("a", "b", "c", NOW)

    @property
    def orphans(self) -> tuple[Path, ...]:
        """The images nothing needs, each one's base before it; their numbers differ from student to student."""
        folder, first = self.lab.home / "disks", 40 + int(self.mark, 16) % 50
        return tuple(
            Path(image_path(str(folder), self.disks[0], number, Format.QCOW2))
            for number in (first, first + 1, first + 7)
        )

    def prepare(self) -> Mapping[str, str]:
        """Leave a layer without a name between two snapshots, which is needed, and orphans, which are not."""
        machine = self.live_through()
        machine.snapshots.delete("b", merge="never")
        named = next(disk.path for disk in machine.snapshots.tree["a"].disks if disk.target == DATA)
        below = Path(named)
        for orphan in self.orphans:
            qemu_img.create(
                orphan, Format.QCOW2, self.capacity, Allocation.DYNAMIC, backing=below, backing_format=Format.QCOW2
            )
            below = orphan
        self.orphans[0].chmod(0o444)
        return {orphan.name: "orphan" for orphan in self.orphans}

    def read(self) -> Reading:
        """Read also which images lie there."""
        return replace(super().read(), files=read_image_names(self.lab, *self.disks, f"{self.machine}.vda"))

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look whether every state is whole, and for the orphans."""
        if gone := why_missing(now, "a", "c"):
            return gone
        was, there = before.reading, self.in_states(now.snapshots, now.now)
        for name, content in self.in_states(was.snapshots, was.now).items():
            if there.get(name) != content:
                return broken(
                    _("The state {name} is no longer whole: an image it needs is gone, or another.").format(name=name)
                )
        left = [name for name in before.notes if name in now.files]
        if left:
            return wrong(
                ngettext(
                    "{count} image is there that no state needs.",
                    "{count} images are there that no state needs.",
                    len(left),
                ).format(count=len(left)),
                _("An image is needed if a disk, a snapshot, or another needed image stands on it. {file}?").format(
                    file=left[-1]
                ),
            )
        if strange := sorted(set(now.files) - set(was.files)):
            return wrong(
                _("{file} was not there at the start, and nothing needs it: an orphan under another name?").format(
                    file=strange[0]
                ),
                _("To hide it is not to remove it: delete that one, too."),
                f'(lab.home / "disks" / "{strange[0]}").unlink()',
            )
        return done(_("The orphans are gone, and every state is whole."))

    def _clear(self) -> None:
        for orphan in self.orphans:
            orphan.unlink(missing_ok=True)
        super()._clear()


class BrokenChain(_InOrder):
    """A base that was moved away, and an empty image of its name in its place."""

    slug: ClassVar[str] = "broken-chain"
    alias: ClassVar[str] = "cadena-rota"
    code: ClassVar[str] = (
        'import shutil\nfor file in ex.folder.iterdir():\n    shutil.move(file, lab.home / "disks" / file.name)'
    )
    words: ClassVar[tuple[str, ...]] = ("base", "work")

    @property
    def base(self) -> str:
        """The base's file name."""
        evidence = self.evidence
        return evidence.notes.get("name", "") if evidence else ""

    @property
    def place(self) -> Path:
        """Where the base belongs."""
        return self.lab.home / "disks" / self.base

    def prepare(self) -> Mapping[str, str]:
        """Take two snapshots, move the base away, and put an empty image into its place."""
        tree = self.live_through().snapshots.tree
        place = next(Path(disk.path) for disk in tree["base"].disks if disk.target == DATA)
        held = self.in_states(*read_states(self.lab, self.machine))
        notes = {**held, "file": hash_if_there(place), "name": place.name}
        make_private_folder(self.folder)
        place.rename(self.folder / place.name)
        qemu_img.create(place, Format.QCOW2, self.capacity, Allocation.DYNAMIC)
        place.chmod(0o444)
        return notes

    def read(self) -> Reading:
        """Read also the image in the base's place."""
        place = self.place
        return replace(super().read(), files={"base": hash_if_there(place) if place.is_file() else ""})

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at the chain, the content of each state, and the seals."""
        if gone := why_missing(now, *self.words):
            return gone
        there, base = self.in_states(now.snapshots, now.now), before.notes.get("name", "")
        put_back = self.code
        if not now.files.get("base"):
            return wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=base),
                _("It was moved to ex.folder. Move it back to where the others are: lab.home / 'disks'."),
                put_back,
            )
        for name in self.words:
            if now.snapshots[name].images.get(DATA, ())[-1:] != (base,):
                return wrong(
                    _("The chain of {name} no longer ends in {file}.").format(name=name, file=base),
                    _("No header needs another base: the right image is to lie where the headers look for it."),
                )
        for name in self.words:
            if there[name] != before.notes.get(name):
                return wrong(
                    _("{file} opens, but it is not the same image: in {name}, content is missing.").format(
                        file=base, name=name
                    ),
                    _("A name is not content. The image that was there lies in ex.folder: put it back."),
                    put_back,
                )
        if now.files["base"] != before.notes.get("file"):
            return wrong(
                _("{file} reads as it did, but it is not the image that was there: it was written anew.").format(
                    file=base
                ),
                _("A name is not content. The image that was there lies in ex.folder: put it back."),
                put_back,
            )
        if now.excuse:
            return wrong(
                now.excuse,
                _("The content is right again; the seal is another's: vm.snapshots.accept_changes()."),
                "lab.machines[ex.machine].snapshots.accept_changes()",
            )
        return done(_("The chain is whole, and every state has its content."))
