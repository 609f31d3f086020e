"""The exercises of notebook 04 in which something is wrong with images: `huerfanas`, `cadena-rota`.

Each prepares a machine of its own, off, and damages its folder. Checks look at the images from outside.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.exercises.snapshots import OnSnapshots
from labkit.errors import LabError
from labkit.language import _, ngettext
from labkit.machine import Machine
from labkit.model.disk import chain, image_path
from labkit.model.image import Allocation, Format
from labkit.storage import qemu_img
from labkit.storage.files import make_private_folder
from labkit.units import MIB


class _InOrder(OnSnapshots):
    """An exercise on states that followed one another; each holds the words of all earlier ones."""

    words: ClassVar[tuple[str, ...]]
    """What is written, in order; a snapshot is taken after each but `now`."""

    def live_through(self) -> Machine:
        """Return the machine, off, after bringing it through every state."""
        machine = self.boot()
        for place, name in enumerate(self.words):
            self.write(machine, self.word(name), at=place)
            if name != "now":
                machine.snapshots.take(name)
        return machine.stop()

    def is_whole(self, name: str) -> bool:
        """Whether a state's disk holds everything it should; `now` is the current state."""
        expected = [self.word(each) for each in self.words[: self.words.index(name) + 1]]
        snapshot = None if name == "now" else name
        try:
            return [self.read(snapshot, at=place) for place in range(len(expected))] == expected
        except LabError:  # a layer is missing, so what stands on it cannot be read
            return False


class NobodysImages(_InOrder):
    """Images that belong to nothing, among good ones."""

    slug: ClassVar[str] = "huerfanas"
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
    words: ClassVar[tuple[str, ...]] = ("a", "b", "c", "now")

    @property
    def orphans(self) -> tuple[Path, ...]:
        """The images that nothing needs, each after its base; their numbers differ from student to student."""
        folder, first = self.lab.home / "disks", 40 + int(self.mark, 16) % 50
        return tuple(
            Path(image_path(str(folder), self.disks[0], number, Format.QCOW2))
            for number in (first, first + 1, first + 7)
        )

    def prepare(self) -> None:
        """Leave a layer without a name between two snapshots, which is needed, and orphans, which are not."""
        machine = self.live_through()
        machine.snapshots.delete("b", merge="never")
        below = Path(next(disk.path for disk in self.tree["a"].disks if disk.target == "vdb"))
        for orphan in self.orphans:
            qemu_img.create(
                orphan, Format.QCOW2, 64 * MIB, Allocation.DYNAMIC, backing=below, backing_format=Format.QCOW2
            )
            below = orphan
        self.orphans[0].chmod(0o444)

    def look_closer(self) -> Result:
        """Check that every state is whole, and look for the orphans."""
        if broken := self.missing("a", "c"):
            return broken
        for name in ("a", "c", "now"):
            if not self.is_whole(name):
                return self.broken(
                    _("The state {name} is no longer whole: an image it needs is gone.").format(name=name)
                )
        left = [orphan for orphan in self.orphans if orphan.exists()]
        if left:
            return self.wrong(
                ngettext(
                    "{count} image is there that no state needs.",
                    "{count} images are there that no state needs.",
                    len(left),
                ).format(count=len(left)),
                _("An image is needed if a disk, a snapshot, or another needed image stands on it. {file}?").format(
                    file=left[-1].name
                ),
            )
        return self.done(_("The orphans are gone, and every state is whole."))

    def _clear(self) -> None:
        for orphan in self.orphans:
            orphan.unlink(missing_ok=True)
        super()._clear()


class BrokenChain(_InOrder):
    """A base that was moved away, with an empty image of its name in its place."""

    slug: ClassVar[str] = "cadena-rota"
    code: ClassVar[str] = (
        'import shutil\nfor file in ex.folder.iterdir():\n    shutil.move(file, lab.home / "disks" / file.name)'
    )
    words: ClassVar[tuple[str, ...]] = ("base", "work")

    @property
    def place(self) -> Path:
        """Where the base belongs."""
        return self.lab.home / "disks" / f"{self.disks[0]}.0.qcow2"

    def prepare(self) -> None:
        """Take two snapshots, move the base away, and put an empty image into its place."""
        self.live_through()
        make_private_folder(self.folder)
        self.place.rename(self.folder / self.place.name)
        qemu_img.create(self.place, Format.QCOW2, 64 * MIB, Allocation.DYNAMIC)
        self.place.chmod(0o444)

    def look_closer(self) -> Result:
        """Look at the chain, the content of each state, and the seals."""
        if broken := self.missing(*self.words):
            return broken
        if not self.place.exists():
            return self.wrong(
                _("There is no {file}: what stands on it cannot be read.").format(file=self.place.name),
                _("It was moved to ex.folder. Move it back to where the others are: lab.home / 'disks'."),
            )
        state = self.lab.state
        for name in self.words:
            top = next(disk.path for disk in self.tree[name].disks if disk.target == "vdb")
            layers = [layer.path for layer in chain(state.images, top)]
            if layers[-1:] != [str(self.place)]:
                return self.wrong(
                    _("The chain of {name} no longer ends in {file}.").format(name=name, file=self.place.name),
                    _("No header needs another base: the right image is to lie where the headers look for it."),
                )
            if not self.is_whole(name):
                return self.wrong(
                    _("{file} opens, but it is not the same image: in {name}, content is missing.").format(
                        file=self.place.name, name=name
                    ),
                    _("A name is not content. The image that was there lies in ex.folder: put it back."),
                )
        if refusal := self.lab.machines[self.machine].snapshots.why_not_start():
            return self.wrong(
                refusal.why, _("The content is right again; the seal is another's: vm.snapshots.accept_changes().")
            )
        return self.done(_("The chain is whole, and every state has its content."))
