"""The exercises of notebook 04: `este-arbol`, `sin-perder`, `liberar`, `instante`.

Each prepares a machine of its own. Checks read the tree and the content of frozen images; if the running state matters,
they ask the guest.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from labkit.course.exercise import Exercise, Result
from labkit.errors import GuestSilent
from labkit.language import _
from labkit.machine import Machine
from labkit.model.disk import chain
from labkit.model.machine import MachineState
from labkit.model.regions import find_region
from labkit.model.snapshot import SnapshotTree
from labkit.storage.maps import read_map
from labkit.units import MIB, format_size

PLACE = 48 * MIB
"""The offset on the disk `vdb` where the first word is written; the disk has no file system."""


class OnSnapshots(Exercise):
    """An exercise on the snapshots of one machine."""

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its second disk, to write on."""
        return (f"{self.slug}-data",)

    @property
    def tree(self) -> SnapshotTree:
        """The machine's snapshots."""
        return self.lab.machines[self.machine].snapshots.tree

    def look(self) -> Result:
        """Return that nothing is begun, or look at the work."""
        if self.machine not in self.lab.machines:
            return self.not_begun(_("There is no machine {name}.").format(name=self.machine))
        return self.look_closer()

    def look_closer(self) -> Result:
        """Look at the work; the machine exists."""
        raise NotImplementedError

    def write(self, machine: Machine, text: str, *, at: int = 0) -> None:
        """Let the running guest write a word on its disk, in the place number `at`."""
        machine.run(f"printf {text} | dd of=/dev/vdb bs=4096 seek={_place(at) // 4096} conv=sync,fsync")

    def read(self, snapshot: str | None, *, at: int = 0) -> str:
        """Return the word on the disk at a snapshot (None: now); empty if there is none."""
        state = self.lab.state
        disks = state.machines[self.machine].spec.disks if snapshot is None else self.tree[snapshot].disks
        layers = chain(state.images, next((disk.path for disk in disks if disk.target == "vdb"), ""))
        regions = read_map(layers) if layers else ()
        region = find_region(regions, _place(at))
        if region is None or region.path is None or region.offset is None:
            return ""
        with Path(region.path).open("rb") as file:
            file.seek(region.offset + _place(at) - region.start)
            return file.read(64).rstrip(b"\0").decode(errors="replace")

    def word(self, name: str) -> str:
        """Return what the disk holds in a state; it differs from student to student."""
        return f"{name}-{self.mark}"

    def boot(self) -> Machine:
        """Return the exercise's machine, made with its second disk and booted."""
        machine = self.lab.create(self.machine)
        machine.attach(self.lab.disks.create(self.disks[0], capacity="64 MiB"))
        return machine.start().wait_ready()

    def missing(self, *names: str) -> Result | None:
        """Return the result that one of these snapshots is gone, or None."""
        gone = [name for name in names if name not in self.tree]
        if not gone:
            return None
        return self.broken(_("The snapshot {name} is gone.").format(name=gone[0]))


class ThisTree(OnSnapshots):
    """Build the tree that is described."""

    slug: ClassVar[str] = "este-arbol"
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
    parents: ClassVar[dict[str, str | None]] = {"base": None, "left": "base", "leaf": "left", "right": "base"}

    def prepare(self) -> None:
        """Start a machine without snapshots."""
        self.boot()

    def look_closer(self) -> Result:
        """Compare tree and contents."""
        tree = self.tree
        for name, parent in self.parents.items():
            if name not in tree:
                return self.wrong(
                    _("There is no snapshot {name}.").format(name=name),
                    _("Write ex.word({name!r}) with ex.write(vm, …), then take the snapshot.").format(name=name),
                )
            if tree[name].parent != parent:
                return self.wrong(
                    _("{name} comes after {parent}.").format(name=name, parent=tree[name].parent),
                    _("A chain came out: restore base before you take right.")
                    if name == "right"
                    else _("Delete it; restore the one it shall come after, and take it again."),
                )
        for name in self.parents:
            if self.read(name) != self.word(name):
                return self.wrong(
                    _("In {name} the disk does not hold {word}.").format(name=name, word=self.word(name)),
                    _("Restore the snapshot before it, write the word, and take it again."),
                )
        return self.done(_("Tree and contents are as they should be."))


class WithoutLoss(OnSnapshots):
    """Go to another state and come back, losing nothing."""

    slug: ClassVar[str] = "sin-perder"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'vm.snapshots.restore("clean", save_current="work")\n'
        'vm.snapshots.take("visit")\n'
        'vm.snapshots.restore("work")'
    )

    def prepare(self) -> None:
        """Leave work on the disk that no snapshot holds."""
        machine = self.boot()
        self.write(machine, self.word("clean"))
        machine.snapshots.take("clean")
        self.write(machine, self.word("work"))

    def look_closer(self) -> Result:
        """Look for the work, in the snapshots and in the current state."""
        if broken := self.missing("clean"):
            return broken
        tree, work = self.tree, self.word("work")
        saved = [name for name in tree if self.read(name) == work]
        if not saved and self.read(None) != work:
            return self.broken(
                _("The work is lost: no state holds it any more."),
                _("Call ex.start() and do it again; restore(…, save_current=…) keeps the current state."),
            )
        if "visit" not in tree:
            return self.wrong(
                _("There is no snapshot visit yet."),
                _("Go to clean without losing the work: restore(…, save_current=…). Then take visit."),
            )
        if tree["visit"].parent != "clean":
            return self.wrong(
                _("{name} comes after {parent}.").format(name="visit", parent=tree["visit"].parent),
                _("Delete visit, restore clean, and take it there."),
            )
        if tree.current not in saved:
            return self.wrong(_("The machine is not back at your work."), _("Restore the snapshot that holds it."))
        return self.done(_("You have been at clean, and nothing is lost."))


class Free(OnSnapshots):
    """Free space, and keep three states as they are."""

    slug: ClassVar[str] = "liberar"
    code: ClassVar[str] = 'for name in ("try-1", "try-2"):\n    lab.machines[ex.machine].snapshots.delete(name)'
    keep: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    most: ClassVar[int] = 8 * MIB

    def prepare(self) -> None:
        """Take three snapshots that are needed, and two that are not."""
        machine = self.boot()
        for name in self.keep:
            self.write(machine, self.word(name))
            machine.snapshots.take(name)
        for name in ("try-1", "try-2"):
            machine.snapshots.restore("b")
            machine.wait_ready()
            self.write(machine, self.word(name))
            machine.snapshots.take(name)
        machine.snapshots.restore("c")

    def look_closer(self) -> Result:
        """Look for the three states, and at what the others cost."""
        if broken := self.missing(*self.keep):
            return broken
        for name in self.keep:
            if self.read(name) != self.word(name):
                return self.wrong(
                    _("In {name} the disk does not hold {word}.").format(name=name, word=self.word(name)),
                    _("Call ex.start(): it makes everything again."),
                )
        costs = self.lab.machines[self.machine].snapshots.costs()
        waste = {name: cost for name, cost in costs.items() if name not in self.keep}
        if sum(waste.values()) > self.most:
            dearest = max(waste, key=lambda name: waste[name])
            return self.wrong(
                _("Others than a, b and c still hold {size}.").format(size=format_size(sum(waste.values()))),
                _("Deleting {name} frees most: ask its plan, then delete it.").format(name=dearest),
            )
        return self.done(_("Only what a, b and c need is left."))


class Instant(OnSnapshots):
    """Go back to a moment without booting."""

    slug: ClassVar[str] = "instante"
    code: ClassVar[str] = 'lab.machines[ex.machine].snapshots.restore("moment")'

    @property
    def disks(self) -> tuple[str, ...]:
        """None: the machine's own disk is enough."""
        return ()

    def prepare(self) -> None:
        """Take one snapshot while the guest counts and one while it is off; then boot it again."""
        machine = self.lab.create(self.machine).start().wait_ready()
        machine.run("labkit-counter start")
        machine.snapshots.take("moment", description=self._boot_id(machine))
        machine.stop()
        machine.snapshots.take("night")
        machine.start().wait_ready()

    def look_closer(self) -> Result:
        """Ask the guest for its boot id, and whether it counts."""
        if broken := self.missing("moment"):
            return broken
        machine = self.lab.machines[self.machine]
        if machine.state is not MachineState.RUNNING:
            return self.wrong(_("{name} does not run.").format(name=self.machine), _("Restore a running state."))
        try:
            boot_id, counter = self._boot_id(machine), machine.run("labkit-counter")
        except GuestSilent as silence:
            return self.wrong(silence.message, _("Wait until it is ready: vm.wait_ready()."))
        if boot_id != self.tree["moment"].description:
            return self.wrong(
                _("The guest has booted since, and does not count."),
                _("It booted: a snapshot taken off keeps no running state. Restore the one taken while it ran."),
            )
        return self.done(_("It counts on without a boot: {n}.").format(n=counter.stdout.strip()))

    def _boot_id(self, machine: Machine) -> str:
        return machine.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()


def _place(at: int) -> int:
    return PLACE + at * MIB
