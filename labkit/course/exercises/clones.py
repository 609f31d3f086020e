"""The exercises of notebook 05: `aula`, `soltar`, `elegir`.

Each prepares an original of its own, off, with a data disk that holds the student's mark. Checks ask the lineage and
read the images.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.disk_exercise import read_bytes
from labkit.course.exercise import Result
from labkit.course.machine_exercise import MEMORY, MachineExercise
from labkit.language import _, ngettext
from labkit.machine import Machine
from labkit.model.lineage import Lineage
from labkit.units import MIB, format_size

PLACE = MIB
"""The offset on the data disk where the mark is written; the disk has no file system."""


class OnClones(MachineExercise):
    """An exercise on an original and its clones; the first machine is the original."""

    @property
    def given(self) -> tuple[str, ...]:
        """The machines that the start makes and that must not be deleted."""
        return self.machines

    @property
    def lineage(self) -> Lineage:
        """The lab's lineage now."""
        return self.lab.lineage

    def look(self) -> Result:
        """Return that nothing is begun or that a machine is gone, or look at the work."""
        if not any(name in self.lab.machines for name in self.machines):
            return self.not_begun(_("There is no machine {name}.").format(name=self.machine))
        gone = [name for name in self.given if name not in self.lab.machines]
        return self.broken(_("The machine {name} is gone.").format(name=gone[0])) if gone else self.look_closer()

    def make_original(self, *, capacity: str = "4 MiB", snapshot: str = "base") -> Machine:
        """Create the original, off, with the mark on its data disk, and take a snapshot of it."""
        machine = self.lab.create(self.machine, memory=MEMORY)
        disk = self.lab.disks.create(f"{self.machine}.data", capacity=capacity, format="raw")
        disk.path.write_bytes(self.fill(disk.capacity))
        machine.attach(disk)
        machine.snapshots.take(snapshot)
        return machine

    def fill(self, capacity: int) -> bytes:
        """Return what the data disk holds: the mark in its place, zeros elsewhere."""
        return self.mark.encode().rjust(PLACE + len(self.mark), b"\0").ljust(capacity, b"\0")

    def word_on(self, name: str) -> str:
        """Return what a machine's data disk holds in the mark's place."""
        disk = next((disk.name for disk in self.vm(name).facts.spec.disks if disk.target == "vdb"), None)
        if disk is None:
            return ""
        return read_bytes(self.lab.disks[disk], PLACE, len(self.mark)).decode(errors="replace")

    def own_bytes(self, *names: str) -> int:
        """Return how many bytes some machines take of their own, which nobody else needs."""
        return sum(self.lineage.unique_cost(name) for name in names)

    def _clear(self) -> None:
        """Delete the machines, each after those that stand on it."""
        lineage = self.lineage
        there = [name for name in self.machines if name in self.lab.machines]
        for name in sorted(there, key=lambda name: len(lineage.clones(name))):
            machine = self.vm(name)
            if machine.facts.is_active:
                machine.kill()
            machine.delete()
        super()._clear()


class ClassRoom(OnClones):
    """Six linked seats under a byte budget."""

    slug: ClassVar[str] = "aula"
    code: ClassVar[str] = (
        'vm = lab.machines[ex.machine]\nvm.clone("aula-{:02}", kind="linked", snapshot="lista", count=6)'
    )
    most: ClassVar[int] = 16 * MIB

    @property
    def machines(self) -> tuple[str, ...]:
        """The original and its seats."""
        return (self.slug, *self.seats)

    @property
    def seats(self) -> tuple[str, ...]:
        """The names of the seats."""
        return tuple(f"{self.slug}-{number:02}" for number in range(1, 7))

    @property
    def given(self) -> tuple[str, ...]:
        """The original."""
        return (self.slug,)

    def prepare(self) -> None:
        """Make the original with its snapshot."""
        self.make_original(snapshot="lista")

    def look_closer(self) -> Result:
        """Look at each seat: what it stands on, who it will be, what it takes."""
        there = [name for name in self.seats if name in self.lab.machines]
        if len(there) < len(self.seats):
            return self.wrong(
                ngettext("There is {count} seat of {all}.", "There are {count} seats of {all}.", len(there)).format(
                    count=len(there), all=len(self.seats)
                ),
                _("One call makes many: {call}.").format(call='vm.clone("aula-{:02}", …, count=6)'),
            )
        for name in there:
            original = self.lineage.original(name)
            if original is None:
                return self.wrong(
                    _("{name} stands alone: it is a full clone.").format(name=name),
                    _("A full clone copies every disk. Delete the seats, and make linked ones: kind='linked'."),
                )
            if original != f"{self.slug}@lista":
                return self.wrong(
                    _("{name} stands on {original}, not on the snapshot lista.").format(name=name, original=original),
                    _("Name the snapshot: snapshot='lista'; else the clone is of the machine as it is now."),
                )
            if self.vm(name).facts.spec.boot.keeps_identity:
                return self.wrong(
                    _("{name} is a twin: it takes itself for {original}.").format(name=name, original=self.slug),
                    _("Make it again, with an identity of its own: identity='new', or leave it out."),
                )
        if (taken := self.own_bytes(*there)) > self.most:
            return self.wrong(
                _("Together the seats take {size}, more than {most}.").format(
                    size=format_size(taken), most=format_size(self.most)
                ),
                _("What was written in a seat is its own. Delete it, and make it again."),
            )
        return self.done(_("Six seats stand on one snapshot, each to be somebody of its own."))


class LetGo(OnClones):
    """Delete the original and keep its linked clone."""

    slug: ClassVar[str] = "soltar"
    code: ClassVar[str] = "lab.machines[ex.machines[1]].flatten()\nlab.machines[ex.machine].delete()"

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, and the clone."""
        return (self.slug, f"{self.slug}-clon")

    @property
    def given(self) -> tuple[str, ...]:
        """The clone; the original is to be deleted."""
        return self.machines[1:]

    def prepare(self) -> None:
        """Make the original and a linked clone of it."""
        self.make_original().clone(self.machines[1], kind="linked", snapshot="base")

    def look_closer(self) -> Result:
        """Check that the clone stands alone with its content, and that the original is gone."""
        original, clone = self.machines
        if self.word_on(clone) != self.mark:
            return self.broken(_("{name} has lost its content.").format(name=clone))
        if self.lineage.original(clone):
            return self.wrong(
                _("{name} still stands on {original}.").format(name=clone, original=original),
                _("Flatten it first: lab.machines[…].flatten(). Then nobody needs the original."),
            )
        if original in self.lab.machines:
            return self.wrong(
                _("{name} stands alone, and {original} is still there.").format(name=clone, original=original),
                _("Now it may go: delete it."),
            )
        return self.done(_("The original is gone, and the clone has all it had."))


class Choose(OnClones):
    """Three clones under a byte budget, one of which must travel."""

    slug: ClassVar[str] = "elegir"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'vm.clone("elegir-viaje", reflink=False, snapshot="base")\n'
        'vm.clone("elegir-aula-{}", kind="linked", snapshot="base", count=2)'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, the clone that travels, and those that stay."""
        return (self.slug, f"{self.slug}-viaje", f"{self.slug}-aula-1", f"{self.slug}-aula-2")

    @property
    def given(self) -> tuple[str, ...]:
        """The original."""
        return (self.slug,)

    @property
    def budget(self) -> int:
        """Bytes that the three clones may take of their own: one and a half times what the original holds."""
        disks = self.vm(self.machine).facts.spec.disks
        return sum(self.lab.disks[disk.name].allocated for disk in disks) * 3 // 2

    def fill(self, capacity: int) -> bytes:
        """Return the content of a full disk: the mark again and again, so that copies take space."""
        return (self.mark * (capacity // len(self.mark))).encode()

    def prepare(self) -> None:
        """Make the original, with a full data disk."""
        self.make_original(capacity="24 MiB")

    def look_closer(self) -> Result:
        """Look at the kinds and the size of the three."""
        _original, traveller, *_others = clones = self.machines
        for name in clones[1:]:
            if name not in self.lab.machines:
                return self.wrong(
                    _("There is no machine {name}.").format(name=name),
                    _("Clone the original, its snapshot base; choose the kind by what the clone is for."),
                )
            if self.word_on(name) != self.mark:
                return self.wrong(
                    _("The data disk of {name} is not the original's.").format(name=name),
                    _("Delete it, and clone the original."),
                )
        if original := self.lineage.original(traveller):
            return self.wrong(
                _("{name} stands on {original}: elsewhere it would have no disks.").format(
                    name=traveller, original=original
                ),
                _("Who travels must stand alone: a full clone, or flatten it."),
            )
        if (taken := self.own_bytes(*clones[1:])) > self.budget:
            return self.wrong(
                _("The clones take {size} of their own, more than {most}.").format(
                    size=format_size(taken), most=format_size(self.budget)
                ),
                _("Those that stay need no copies: linked clones share what is below them."),
            )
        return self.done(_("One can travel, two share, and there is room."))
