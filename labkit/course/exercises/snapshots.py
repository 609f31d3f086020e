"""The exercises of notebook 04 on a tree and the way through it: `this-tree`, `without-loss`.

Each prepares a machine of its own. Checks read the tree and the content of frozen images.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.goal import Goal, compare
from labkit.course.machine_exercise import DataDiskExercise
from labkit.course.readers import read_states, why_not_start
from labkit.course.reading import Evidence, Reading, StateReading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.machine import Machine
from labkit.model.state import LabState
from labkit.units import MIB

DATA = "vdb"
PLACE = 48 * MIB
"""Byte of the data disk where the first word is written; the disk has no file system."""


class OnSnapshots(DataDiskExercise):
    """An exercise on the snapshots of one machine."""

    places: ClassVar[int] = 1
    """At how many places words are written."""
    asked: ClassVar[Mapping[str, str | None]] = {}
    """The snapshots that there are to be, each with the one it comes after; empty: no tree is asked for."""

    @property
    def data(self) -> tuple[str, ...]:
        """The disks whose contents count, by target."""
        return (DATA,)

    def read(self) -> Reading:
        """Read also every state the machine can be in."""
        found = super().read()
        if self.machine not in found.machines:
            return found
        words = {str(at): _place(at) for at in range(self.places)} if self.data else {}
        snapshots, now = read_states(self.lab, self.machine, data=self.data, words=words)
        return replace(
            found, snapshots=snapshots, now=now, current=now.parent, excuse=why_not_start(self.vm(self.machine))
        )

    def write(self, machine: Machine, text: str, *, at: int = 0) -> None:
        """Let the running guest write a word on its disk, each `at` a place of its own."""
        machine.run(f"printf {text} | dd of=/dev/vdb bs=4096 seek={_place(at) // 4096} conv=sync,fsync")

    def goal(self, state: LabState | None) -> Goal | None:
        """Return the tree that is asked for, beside the machine's snapshots."""
        if not self.asked:
            return None
        tree = state.snapshots.get(self.machine) if state else None
        return compare(self.asked, {name: facts.parent for name, facts in tree.items()} if tree else {})

    def word(self, name: str) -> str:
        """Return what the disk holds in a state: it differs from student to student."""
        return f"{name}-{self.mark}"

    @property
    def capacity(self) -> int:
        """Bytes of its second disk."""
        return self.drawn("capacity", 64 * MIB, 72 * MIB, 96 * MIB)

    def begin(self) -> Machine:
        """Return the exercise's machine, running, with its second disk."""
        (machine,) = self.boot(*(self.lab.disks.create(name, capacity=self.capacity) for name in self.disks))
        return machine


def why_missing(now: Reading, *names: str) -> Result | None:
    """Return that one of these snapshots is gone, or None."""
    gone = [name for name in names if name not in now.snapshots]
    return broken(_("The snapshot {name} is gone.").format(name=gone[0])) if gone else None


def content_of(state: StateReading | None) -> str:
    """Return the hash of what the data disk holds in a state; "" if it cannot be read."""
    return state.contents.get(DATA, "") if state else ""


class ThisTree(OnSnapshots):
    """Build the tree that is described."""

    slug: ClassVar[str] = "this-tree"
    alias: ClassVar[str] = "este-arbol"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'for name in ("base", "left", "leaf"):\n'
        "    ex.write(vm, ex.word(name))\n"
        "    vm.snapshots.take(name)\n"
        'vm.snapshots.restore("base")\n'
        "vm.wait_ready()\n"
        'ex.write(vm, ex.word("right"))\n'
        'vm.snapshots.take("right")'
    )
    parents: ClassVar[dict[str, str]] = {"base": "", "left": "base", "leaf": "left", "right": "base"}
    asked: ClassVar[Mapping[str, str | None]] = {name: parent or None for name, parent in parents.items()}

    def prepare(self) -> None:
        """Start a machine without snapshots."""
        self.begin()

    def judge(self, before: Evidence, now: Reading) -> Result:  # noqa: ARG002
        """Compare tree and contents, and the images that the tree stands on."""
        states = now.snapshots
        for name, parent in self.parents.items():
            if name not in states:
                return wrong(
                    _("There is no snapshot {name}.").format(name=name),
                    _("Write ex.word({name!r}) with ex.write(vm, …), then take the snapshot.").format(name=name),
                    f'ex.write(vm, ex.word("{name}"))\nvm.snapshots.take("{name}")',
                )
            if states[name].parent != parent:
                return wrong(
                    _("{name} comes after {parent}.").format(name=name, parent=states[name].parent or _("nothing")),
                    _("A chain came out: restore base before you take right.")
                    if name == "right"
                    else _("Delete it; restore the one it shall come after, and take it again."),
                )
        for name in self.parents:
            if states[name].words.get("0") != self.word(name):
                return wrong(
                    _("In {name} the disk does not hold {word}.").format(name=name, word=self.word(name)),
                    _("Restore the snapshot before it, write the word, and take it again."),
                )
        for name, parent in self.parents.items():
            below = states[name].images.get(DATA, ())
            others = [other for other in self.parents if not self._comes(name, other)]
            strange = [other for other in others if top_of(states[other]) in below[1:]]
            if strange or (parent and top_of(states[parent]) not in below):
                return wrong(
                    _("The tree says that {name} comes after {parent}; its image does not stand on that one's.").format(
                        name=name, parent=parent or _("nothing")
                    ),
                    _("A drawing can be forged, images cannot: restore {parent}, and take {name} there.").format(
                        name=name, parent=parent or "base"
                    ),
                )
        return done(_("Tree and contents are as they should be."))

    def _comes(self, name: str, other: str) -> bool:
        """Whether a snapshot of the tree is to come after another, however far."""
        parent = self.parents[name]
        return bool(parent) and (parent == other or self._comes(parent, other))


def top_of(state: StateReading) -> str:
    """Return the name of a state's own image of the data disk."""
    return next(iter(state.images.get(DATA, ())), "?")


class WithoutLoss(OnSnapshots):
    """Go to another state and come back, losing nothing."""

    slug: ClassVar[str] = "without-loss"
    alias: ClassVar[str] = "sin-perder"
    places: ClassVar[int] = 2
    asked: ClassVar[Mapping[str, str | None]] = {"clean": None, "visit": "clean"}
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'vm.snapshots.restore("clean", save_current="work")\n'
        'vm.snapshots.take("visit")\n'
        'vm.snapshots.restore("work")'
    )

    def prepare(self) -> None:
        """Leave work that no snapshot holds."""
        machine = self.begin()
        self.write(machine, self.word("clean"))
        machine.snapshots.take("clean")
        self.write(machine, self.word("work"))
        self.write(machine, self.word("notes"), at=1)

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare what each state holds with what clean and the work held at the start."""
        if gone := why_missing(now, "clean"):
            return gone
        states, clean, work = (
            now.snapshots,
            content_of(before.reading.snapshots["clean"]),
            content_of(before.reading.now),
        )
        if content_of(states["clean"]) != clean:
            return broken(_("The snapshot {name} does not hold what it held.").format(name="clean"))
        saved = [name for name, state in states.items() if content_of(state) == work]
        if not saved and content_of(now.now) != work:
            return broken(
                _("The work is lost: no state holds it any more."),
                _("Call ex.start() and do it again; restore(…, save_current=…) keeps the current state."),
            )
        if "visit" not in states:
            return wrong(
                _("There is no snapshot visit yet."),
                _("Go to clean without losing the work: restore(…, save_current=…). Then take visit."),
            )
        visit = states["visit"]
        again = _("Delete visit, restore clean, and take it there.")
        if visit.parent != "clean":
            return wrong(_("{name} comes after {parent}.").format(name="visit", parent=visit.parent), again)
        if content_of(visit) != clean:
            return wrong(
                _("In visit the disk does not hold what it holds in clean: it was not taken there."),
                again,
            )
        if visit.written.get(DATA, 0):
            return wrong(
                _("Visit reads as clean does, but its own image was written to: clean was imitated, not visited."),
                again,
            )
        back = 'vm.snapshots.restore("work")'
        if not [name for name in saved if name != "visit"]:
            return wrong(
                _("Your work is in no snapshot: it could not have been left."),
                _("Take one of it; restore(…, save_current=…) does both."),
            )
        if content_of(now.now) != work:
            return wrong(_("The machine is not back at your work."), _("Restore the snapshot that holds it."), back)
        if now.current not in saved:
            return wrong(
                _("The disk holds your work's bytes, but the machine comes from {name}: they were copied.").format(
                    name=now.current or _("nothing")
                ),
                _("Restore the snapshot that holds it."),
                back,
            )
        return done(_("You have been at clean, and nothing is lost."))


def _place(at: int) -> int:
    return PLACE + at * MIB
