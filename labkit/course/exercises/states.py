"""The exercises of notebook 04 on single states: `free-space`, `that-instant`.

Each prepares a machine of its own. Checks read the content of frozen images; where the running state counts, they ask
the guest.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.exercises.snapshots import OnSnapshots, content_of, top_of, why_missing
from labkit.course.readers import read_image_names
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.words import state_word
from labkit.units import MIB, format_size


class Free(OnSnapshots):
    """Free space, and keep three states as they are."""

    slug: ClassVar[str] = "free-space"
    alias: ClassVar[str] = "liberar"
    code: ClassVar[str] = 'for name in ("try-1", "try-2"):\n    lab.machines[ex.machine].snapshots.delete(name)'
    keep: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    most: ClassVar[int] = 8 * MIB

    def prepare(self) -> None:
        """Take three snapshots that are needed, and two that are not."""
        machine = self.begin()
        for name in ("a", "b", "try-1", "try-2"):
            self.write(machine, self.word(name))
            machine.snapshots.take(name)
        machine.snapshots.restore("b")
        machine.wait_ready()
        self.write(machine, self.word("c"))
        machine.snapshots.take("c")

    def read(self) -> Reading:
        """Read also what each snapshot costs, and which images lie there."""
        found = super().read()
        costs = self.vm(self.machine).snapshots.costs() if found.snapshots else {}
        measured = {name: float(cost) for name, cost in costs.items()}
        return replace(found, measured=measured, files=read_image_names(self.lab, *self.disks, f"{self.machine}.vda"))

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Look for the three states, and for what the others cost."""
        if gone := why_missing(now, *self.keep):
            return gone
        for name in self.keep:
            was, there = before.reading.snapshots[name], now.snapshots[name]
            if content_of(there) != content_of(was):
                return broken(_("In {name} the disk does not hold what it held.").format(name=name))
            if top_of(there) != top_of(was) or there.kind is not was.kind:
                return broken(_("{name} is another snapshot than at the start: it was taken again.").format(name=name))
        for name, state in now.snapshots.items():
            if name not in self.keep and not content_of(state):
                return wrong(
                    _("The images of {name} were removed by hand: the tree still names it, and it is damaged.").format(
                        name=name
                    ),
                    _("Let the hypervisor know what is no longer needed: vm.snapshots.delete(…)."),
                )
        waste = {name: int(cost) for name, cost in now.measured.items() if name not in self.keep}
        if sum(waste.values()) > self.most:
            dearest = max(waste, key=lambda name: waste[name])
            return wrong(
                _("Others than a, b and c still hold {size}.").format(size=format_size(sum(waste.values()))),
                _("Deleting {name} frees most: ask its plan, then delete it.").format(name=dearest),
                f'lab.machines[ex.machine].snapshots.delete("{dearest}")',
            )
        states = [*now.snapshots.values(), *([now.now] if now.now else [])]
        needed = {image for state in states for images in state.images.values() for image in images}
        if left := sorted(set(now.files) - needed):
            return wrong(
                _("The tree forgot them, but their images are still there: {file}.").format(file=left[0]),
                _("Only the names were deleted. lab.orphans lists what nothing needs; discard those."),
                "for name in list(lab.orphans):\n    lab.orphans[name].discard()",
            )
        return done(_("Only what a, b and c need is left."))


class Instant(OnSnapshots):
    """Go back to a moment without booting."""

    slug: ClassVar[str] = "that-instant"
    alias: ClassVar[str] = "instante"
    code: ClassVar[str] = 'lab.machines[ex.machine].snapshots.restore("moment")'

    @property
    def disks(self) -> tuple[str, ...]:
        """None of its own: the machine's disk will do."""
        return ()

    @property
    def data(self) -> tuple[str, ...]:
        """None: what counts is in memory."""
        return ()

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """How far it has counted, and since when."""
        return {self.machine: {"counter": "labkit-counter"}}

    def prepare(self) -> Mapping[str, str]:
        """Take one snapshot while the guest counts, one while it is off, and leave it off."""
        machine = self.begin()
        boot = machine.run("labkit-counter start; cat /proc/sys/kernel/random/boot_id").stdout.strip()
        machine.snapshots.take("moment")
        machine.kill().snapshots.take("night")
        return {"boot": boot}

    def read(self) -> Reading:
        """Read as the others do; that it counts on is no change."""
        found = super().read()
        there = found.machines.get(self.machine)
        if there is None or there.said is None:
            return found
        said = {name: bool(text) and name if name == "counter" else text for name, text in there.said.items()}
        counted = {"counter": float(there.said.get("counter") or 0)}
        quiet = replace(there, said={name: str(text or "") for name, text in said.items()})
        return replace(found, machines={**found.machines, self.machine: quiet}, measured=counted)

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Ask the guest which boot it is, and whether it counts."""
        if gone := why_missing(now, "moment"):
            return gone
        there = now.machines[self.machine]
        back = 'lab.machines[ex.machine].snapshots.restore("moment")'
        if not there.runs:
            return wrong(
                _("{name} does not run: it is {state}.").format(name=self.machine, state=state_word(there.state)),
                _("Restore a running state."),
                back,
            )
        if there.said is None:
            return wrong(
                _("{name} does not answer yet.").format(name=self.machine),
                _("Wait until it is ready: vm.wait_ready()."),
                "lab.machines[ex.machine].wait_ready()",
            )
        if there.boot != before.notes.get("boot"):
            return wrong(
                _("The guest has booted since: it is not the one that counted."),
                _("It booted: a snapshot taken off keeps no running state. Restore the one taken while it ran."),
                back,
            )
        if not there.tells("counter"):
            return wrong(
                _("It is the same boot, but nothing counts in it any more."),
                _("Restore moment again, and leave its counter alone."),
                back,
            )
        return done(_("It counts on without a boot: {n}.").format(n=int(now.measured.get("counter", 0))))
