"""The exercise of notebook 01 on two places: `moving-house`.

Its check looks into both labs, and asks the guest who it is.

Knows: its task. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from labkit.course.exercises.host import MARK, READ_MARK
from labkit.course.machine_exercise import MachineExercise
from labkit.course.readers import read_machines
from labkit.course.reading import Evidence, MachineReading, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.lab import Lab
from labkit.language import _


class Move(MachineExercise):
    """Move a machine by its files: the same machine, in another place, and only there."""

    slug: ClassVar[str] = "moving-house"
    alias: ClassVar[str] = "mudanza"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'file = vm.export(lab.home / "moving-house.labkit")\n'
        "vm.delete()\n"
        "ex.elsewhere.import_machine(file).start().wait_ready()\n"
        "file.unlink()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, off."""
        return (self.slug,)

    @property
    def elsewhere(self) -> Lab:
        """The other place: a lab with a folder of its own."""
        return Lab.open(self.slug, home=self.lab.home.parent)

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Who it is, and its mark."""
        return {self.machine: {"who": "cat /etc/machine-id", **READ_MARK}}

    def prepare(self) -> Mapping[str, str]:
        """Start it, ask who it is, and stop it."""
        (vm,) = self.boot()
        who = vm.run("cat /etc/machine-id").stdout.strip()
        vm.stop()
        return {"who": who}

    def read(self) -> Reading:
        """Read both places."""
        with self.elsewhere as elsewhere:
            return replace(super().read(), elsewhere=read_machines(elsewhere, self.machines, self.questions))

    def why_not_given(self, before: Reading, now: Reading) -> Result | None:
        """It need not be here; if it is, it must be the same, under its name."""
        return (
            None
            if self.machine in now.elsewhere or not self._names(before, now)
            else super().why_not_given(before, now)
        )

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See where it is, and who it is there."""
        here, there = self._names(before.reading, now), now.elsewhere.get(self.machine)
        arrive = f'ex.elsewhere.import_machine(lab.home / "{self.slug}.labkit").start().wait_ready()'
        if there is not None and here:
            return wrong(
                _("Now there are two of them: here, and in the other lab."),
                _("To move is not to copy: delete the one here, and import with the identity it had."),
                f'lab.machines["{here}"].delete()',
            )
        if there is not None:
            return self._judge_there(before, there)
        if here:
            return wrong(
                _("{name} is still here.").format(name=self.machine),
                _(
                    "vm.export(FILE) packs its files into one. Then delete it here: one machine is not in two places. "
                    "ex.elsewhere.import_machine(FILE) unpacks it there."
                ),
            )
        return wrong(
            _("{name} is in neither place now; if you have packed it, it is in your file.").format(name=self.machine),
            _("ex.elsewhere.import_machine(FILE) unpacks it there. Without a file only ex.start() brings it back."),
            arrive,
        )

    def _names(self, before: Reading, now: Reading) -> str:
        """What the machine is called here, or another in its place; "" if there is none."""
        its = before.machines[self.machine].id if self.machine in before.machines else ""
        renamed = (name for name, other in now.others.items() if other == its)
        return self.machine if self.machine in now.machines else next(renamed, "")

    def _judge_there(self, before: Evidence, there: MachineReading) -> Result:
        if there.id != before.reading.machines[self.machine].id:
            return wrong(
                _("That is a clone: it is another machine, with another id."),
                _('Call ex.start(), and import with identity="keep", once the one here is deleted.'),
                "ex.start()",
            )
        if there.said is None:
            return wrong(
                _("It is there, but it does not answer."),
                _("Start it there, and wait until it is ready."),
                "ex.elsewhere.machines[ex.machine].start().wait_ready()",
            )
        if there.tells(MARK) != self.mark:
            return broken(_("What was on its disk is gone."))
        if there.tells("who") != before.notes.get("who"):
            return wrong(
                _("It has the right id, and inside it takes itself for another: its machine-id was changed."),
                _("Call ex.start(), and move it without changing it."),
                "ex.start()",
            )
        return done(_("The same machine, in another place, and only there."))

    def _clear(self) -> None:
        super()._clear()
        with self.elsewhere as elsewhere:
            elsewhere.clean()
