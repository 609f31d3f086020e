"""The exercise of notebook 05 on identity: `gemelas`.

Its check asks both guests who they are, and what is on their disks.

Knows: its task. Must not know: notebooks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.exercises.clones import OnClones
from labkit.course.machine_exercise import MEMORY
from labkit.language import _
from labkit.model.machine import MachineState
from labkit.model.words import state_word
from labkit.storage.files import make_private_folder


class Twins(OnClones):
    """Two machines with one identity: repair one without making it anew."""

    slug: ClassVar[str] = "gemelas"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machines[1]]\n"
        'vm.run("tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id")\n'
        'vm.run(f"echo {vm.name} >/etc/hostname; sync")\n'
        "vm.stop()\n"
        "vm.start().wait_ready()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The first, and its twin."""
        return (f"{self.slug}-1", f"{self.slug}-2")

    def prepare(self) -> None:
        """Let one boot, clone it as a twin, and start both, each with a letter of its own."""
        first = self.lab.create(self.machines[0], memory=MEMORY).start().wait_ready()
        first.run(f"echo {self.mark}-1 >/root/letter; sync")
        first.stop()
        first.clone(self.machines[1], identity="keep")
        twin = self.vm(self.machines[1])
        for machine in (first, twin):
            machine.start()
        twin.wait_ready().run(f"echo {self.mark}-2 >/root/letter; sync")
        identity = first.wait_ready().run("cat /etc/machine-id").stdout.strip()
        make_private_folder(self.folder)
        self._notes.write_text(f"{first.id} {twin.id} {identity}")

    @property
    def _notes(self) -> Path:
        return self.folder / "ids"

    def look_closer(self) -> Result:
        """Ask both guests who they are, and for their letters."""
        one, two = self.machines
        *ids, identity = self._notes.read_text().split()
        for name, known in zip(self.machines, ids, strict=True):
            if self.vm(name).id != known:
                return self.broken(_("{name} was made again; it was to be repaired.").format(name=name))
        for number, name in enumerate(self.machines, start=1):
            if (state := self.vm(name).state) is not MachineState.RUNNING:
                return self.wrong(
                    _("{name} is {state}.").format(name=name, state=state_word(state)),
                    _("Start it, and wait until it is ready."),
                )
            if (letter := self.says(name, "cat /root/letter")) is None:
                return self.wrong(_("{name} does not answer.").format(name=name), _("Wait until it is ready."))
            if letter != f"{self.mark}-{number}":
                return self.broken(_("{name} has lost its letter.").format(name=name))
        if self.says(one, "cat /etc/machine-id /etc/hostname") != f"{identity}\n{one}":
            return self.wrong(
                _("{name} is no longer who it was.").format(name=one),
                _("Only {name} is to change. Call ex.start().").format(name=two),
            )
        return self._look_at_twin(two, identity)

    def _look_at_twin(self, name: str, identity: str) -> Result:
        said = (self.says(name, "cat /etc/machine-id; cat /etc/hostname; hostname") or "").split()
        number, stored, called = said if len(said) == 3 else ("", "", "")
        same_number, same_name = number == identity, stored == self.machines[0]
        if same_number and same_name:
            return self.wrong(
                _("Both say that they are {name}, with one machine-id.").format(name=self.machines[0]),
                _("Who a guest is stands on its disk: /etc/machine-id and /etc/hostname. It reads them at boot."),
            )
        if same_number:
            return self.wrong(
                _("They have two names, but still one machine-id."),
                _("A name is not an identity: write another number into /etc/machine-id of {name}.").format(name=name),
            )
        if not re.fullmatch(r"[0-9a-f]{32}", number):
            return self.wrong(
                _("The machine-id of {name} is not one: {text!r}.").format(name=name, text=number),
                _("It has 32 digits from 0 to f: a line of /proc/sys/kernel/random/uuid, without its dashes."),
            )
        if stored != name:
            return self.wrong(
                _("{name} still calls itself {other}.").format(name=name, other=stored),
                _("Write {name} into its /etc/hostname.").format(name=name),
            )
        if called != name:
            return self.wrong(
                _("{name} was repaired on its disk, and the guest does not know it yet.").format(name=name),
                _("It reads its name at boot: stop it, and start it."),
            )
        return self.done(_("They are two, and each has its letter."))
