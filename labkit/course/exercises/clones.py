"""The exercises of notebook 05: `classroom`, `let-go`, `which-kind`.

Each prepares an original of its own, off, with a data disk that holds the student's mark. Checks ask the lineage and
read the images.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.goal import Goal, compare
from labkit.course.machine_exercise import MEMORY, MachineExercise
from labkit.course.readers import read_disk
from labkit.course.reading import DiskReading, Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.errors import LabError
from labkit.language import _, ngettext
from labkit.machine import Machine
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.state import LabState
from labkit.units import MIB, format_size

PLACE = MIB
"""Byte of the data disk where the mark is written; the disk has no file system."""


class OnClones(MachineExercise):
    """An exercise on an original and its clones; the first machine is the original.

    What it reads of disks is the data disk of each machine, by the machine's name.
    """

    @property
    def lineage(self) -> Lineage:
        """Who stands on whom now."""
        return self.lab.lineage

    def read(self) -> Reading:
        """Read also each machine's data disk, and what each takes that nobody else needs."""
        found = super().read()
        lineage = self.lineage
        return replace(
            found,
            disks={name: disk for name in found.machines if (disk := self._data_disk(name)) is not None},
            measured={name: float(lineage.unique_cost(name)) for name in found.machines},
        )

    def _data_disk(self, name: str) -> DiskReading | None:
        disk = next((disk.name for disk in self.vm(name).facts.spec.disks if disk.target == "vdb"), None)
        try:
            return read_disk(self.lab.disks[disk], words={"mark": PLACE}) if disk else None
        except LabError:  # a layer is missing: what stands on it cannot be read
            return None

    @property
    def capacity(self) -> int:
        """Bytes of each data disk; so small an image is sealed by its content at once."""
        return self.drawn("capacity", 4 * MIB, 7 * MIB // 2, 13 * MIB // 4)

    def make_original(self, *, snapshot: str = "base") -> Machine:
        """Create the original, off, with the mark on its data disk, and take a snapshot of it."""
        machine = self.lab.create(self.machine, memory=MEMORY)
        disk = self.lab.disks.create(f"{self.machine}.data", capacity=self.capacity, format="raw")
        disk.path.write_bytes(self.fill(disk.capacity))
        machine.attach(disk)
        machine.snapshots.take(snapshot)
        return machine

    def fill(self, capacity: int) -> bytes:
        """Return what the data disk holds: the mark at its place, other things elsewhere."""
        content = bytearray(self.mark.encode().rjust(PLACE + len(self.mark), b"\0").ljust(capacity, b"\0"))
        for place in range(0, capacity, MIB // 2):
            content[place + 4096 : place + 4096 + len(self.mark)] = self.mark[::-1].encode()
        return bytes(content)

    def content_of(self, name: str, reading: Reading) -> str:
        """Return the hash of what a machine's data disk holds; "" if it cannot be read."""
        disk = reading.disks.get(name)
        return disk.content if disk else ""

    def own_bytes(self, reading: Reading, *names: str) -> int:
        """Return how many bytes some machines take that nobody else needs."""
        return sum(int(reading.measured.get(name, 0)) for name in names)

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

    slug: ClassVar[str] = "classroom"
    alias: ClassVar[str] = "aula"
    code: ClassVar[str] = (
        'vm = lab.machines[ex.machine]\nvm.clone("classroom-{:02}", kind="linked", snapshot="ready", count=6)'
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

    def goal(self, state: LabState | None) -> Goal | None:
        """Return the snapshot with its six seats, beside what stands on it."""
        there: dict[str, str | None] = {}
        if state is not None and "ready" in state.snapshots.get(self.slug, {}):
            there["ready"] = None
        if state is not None:
            lineage = read_lineage(state)
            linked = [name for name in self.seats if name in state.machines]
            there |= {name: "ready" for name in linked if lineage.original(name) == f"{self.slug}@ready"}
        return compare({"ready": None, **dict.fromkeys(self.seats, "ready")}, there)

    def prepare(self) -> None:
        """Make the original with its snapshot."""
        self.make_original(snapshot="ready")

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look for each seat: what it stands on, who it will be, what it takes."""
        there = [name for name in self.seats if name in now.machines]
        if len(there) < len(self.seats):
            return wrong(
                ngettext("There is {count} seat of {all}.", "There are {count} seats of {all}.", len(there)).format(
                    count=len(there), all=len(self.seats)
                ),
                _("One call makes many: {call}.").format(call='vm.clone("seat-{:02}", …, count=6)'),
            )
        for name in there:
            original = now.machines[name].original
            if not original:
                return wrong(
                    _("{name} stands alone: it is a full clone.").format(name=name),
                    _("A full clone copies every disk. Delete the seats, and make linked ones: kind='linked'."),
                )
            if original != f"{self.slug}@ready":
                return wrong(
                    _("{name} stands on {original}, not on the snapshot ready.").format(name=name, original=original),
                    _("Name the snapshot: snapshot='ready'; else the clone is of the machine as it is now."),
                )
            if now.machines[name].twin:
                return wrong(
                    _("{name} is a twin: it takes itself for {original}.").format(name=name, original=self.slug),
                    _("Make it again, with an identity of its own: identity='new', or leave it out."),
                )
        for name in there:
            if self.content_of(name, now) != self.content_of(self.machine, before.reading):
                return wrong(
                    _("The data disk of {name} is not the original's.").format(name=name),
                    _("Delete it, and clone the original."),
                )
        if (taken := self.own_bytes(now, *there)) > self.most:
            return wrong(
                _("Together the seats take {size}, more than {most}.").format(
                    size=format_size(taken), most=format_size(self.most)
                ),
                _("What was written in a seat is its own. Delete it, and make it again."),
            )
        return done(_("Six seats stand on one snapshot, each to be somebody of its own."))


class LetGo(OnClones):
    """Delete the original, and keep its linked clone."""

    slug: ClassVar[str] = "let-go"
    alias: ClassVar[str] = "soltar"
    code: ClassVar[str] = "lab.machines[ex.machines[1]].flatten()\nlab.machines[ex.machine].delete()"

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, and the clone."""
        return (self.slug, f"{self.slug}-clone")

    @property
    def given(self) -> tuple[str, ...]:
        """The clone: the original is to go."""
        return self.machines[1:]

    def prepare(self) -> None:
        """Make the original and a linked clone of it."""
        self.make_original().clone(self.machines[1], kind="linked", snapshot="base")

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look whether the clone stands alone with its content, and whether the original is gone."""
        original, clone = self.machines
        if self.content_of(clone, now) != self.content_of(clone, before.reading):
            return broken(_("{name} has lost its content.").format(name=clone))
        if below := now.machines[clone].original:
            return wrong(
                _("{name} still stands on {original}.").format(name=clone, original=below),
                _("Flatten it first: lab.machines[…].flatten(). Then nobody needs the original."),
                "lab.machines[ex.machines[1]].flatten()",
            )
        its = before.reading.machines[original].id
        if renamed := next((name for name, other in now.others.items() if other == its), None):
            return wrong(
                _("{original} was only renamed: it is called {name} now.").format(original=original, name=renamed),
                _("It is to go, with its disks: delete it."),
                f'lab.machines["{renamed}"].delete()',
            )
        if original in now.machines:
            return wrong(
                _("{name} stands alone, and {original} is still there.").format(name=clone, original=original),
                _("Now it may go: delete it."),
                "lab.machines[ex.machine].delete()",
            )
        return done(_("The original is gone, and the clone has all it had."))


class Choose(OnClones):
    """Three clones under a byte budget, one of which must travel."""

    slug: ClassVar[str] = "which-kind"
    alias: ClassVar[str] = "elegir"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'vm.clone("kind-travels", reflink=False, snapshot="base")\n'
        'vm.clone("kind-stays-{}", kind="linked", snapshot="base", count=2)'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The original, the clone that travels, and those that stay."""
        return (self.slug, "kind-travels", "kind-stays-1", "kind-stays-2")

    @property
    def given(self) -> tuple[str, ...]:
        """The original."""
        return (self.slug,)

    @property
    def capacity(self) -> int:
        """Bytes of each data disk."""
        return self.drawn("capacity", 24 * MIB, 20 * MIB, 32 * MIB)

    @property
    def budget(self) -> int:
        """Bytes that the three clones may take of their own: one and a half times what the original holds."""
        return int(self.evidence.notes.get("budget", 0)) if self.evidence else self._measure_budget()

    def _measure_budget(self) -> int:
        disks = self.vm(self.machine).facts.spec.disks
        return sum(self.lab.disks[disk.name].allocated for disk in disks) * 3 // 2

    def fill(self, capacity: int) -> bytes:
        """A full disk: the mark again and again, so that copies weigh something."""
        return (self.mark * (capacity // len(self.mark))).encode()

    def prepare(self) -> Mapping[str, str]:
        """Make the original, with a full data disk."""
        self.make_original()
        return {"budget": str(self._measure_budget())}

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look at the kinds and the weight of the three."""
        _original, traveller, *_others = clones = self.machines
        for name in clones[1:]:
            if name not in now.machines:
                return wrong(
                    _("There is no machine {name}.").format(name=name),
                    _("Clone the original, its snapshot base; choose the kind by what the clone is for."),
                )
            if self.content_of(name, now) != self.content_of(self.machine, before.reading):
                return wrong(
                    _("The data disk of {name} is not the original's.").format(name=name),
                    _("Delete it, and clone the original."),
                )
        if original := now.machines[traveller].original:
            return wrong(
                _("{name} stands on {original}: elsewhere it would have no disks.").format(
                    name=traveller, original=original
                ),
                _("Who travels must stand alone: a full clone, or flatten it."),
                'lab.machines["kind-travels"].flatten()',
            )
        budget = int(before.notes.get("budget", 0))
        if (taken := self.own_bytes(now, *clones[1:])) > budget:
            return wrong(
                _("The clones take {size} of their own, more than {most}.").format(
                    size=format_size(taken), most=format_size(budget)
                ),
                _("Those that stay need no copies: linked clones share what is below them."),
            )
        return done(_("One can travel, two share, and there is room."))
