"""The exercise of notebook 05 on identity: `twins`.

Its check asks both guests who they are, and what is on their disks.

Knows: its task. Must not know: notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from labkit.course.exercises.clones import OnClones
from labkit.course.machine_exercise import MEMORY
from labkit.course.reading import Evidence, MachineReading, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.words import state_word

_WHO = {
    "id": "cat /etc/machine-id",
    "name": "cat /etc/hostname",
    "called": "hostname",
    "letter": "sha256sum </root/letter",
    "over": "grep -c ' /etc' /proc/mounts",
}


class Twins(OnClones):
    """Two machines with one identity: repair one without making it anew."""

    slug: ClassVar[str] = "twins"
    alias: ClassVar[str] = "gemelas"
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

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Who each is, on its disk and in its memory, and what its letter is."""
        return dict.fromkeys(self.machines, _WHO)

    def prepare(self) -> None:
        """Make one and clone it as a twin; let both run as the first, each with a letter of its own."""
        first = self.lab.create(self.machines[0], memory=MEMORY)
        first.clone(self.machines[1], identity="keep")
        both = [self.vm(name) for name in self.machines]
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda machine: machine.start(warm=True).wait_ready(), both))
        both[1].run(["/bin/labkit-renew", first.name, first.id])
        for number, machine in enumerate(both, start=1):
            machine.run(f"{{ echo {self.mark}-{number}; head -c 300 /dev/urandom; }} >/root/letter; sync")

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare who both are, and their letters, with what they were."""
        one, two = self.machines
        for name in self.machines:
            there = now.machines[name]
            if there.said is None:
                return wrong(
                    _("{name} does not answer: it is {state}.").format(name=name, state=state_word(there.state)),
                    _("Start it if it is off, and wait until it is ready: vm.wait_ready()."),
                    f'lab.machines["{name}"].start().wait_ready()',
                )
            if there.tells("letter") != before.reading.machines[name].tells("letter"):
                return broken(_("{name} has lost its letter.").format(name=name))
        was, first = before.reading.machines[one], now.machines[one]
        if (first.tells("id"), first.tells("name")) != (was.tells("id"), one):
            return wrong(
                _("{name} is no longer who it was.").format(name=one),
                _("Only {name} is to change. Call ex.start().").format(name=two),
                "ex.start()",
            )
        return self._judge_twin(two, was.tells("id"), now.machines[two])

    def _judge_twin(self, name: str, identity: str, twin: MachineReading) -> Result:
        number, stored = twin.tells("id"), twin.tells("name")
        same_number, same_name = number == identity, stored == self.machines[0]
        if same_number and same_name:
            return wrong(
                _("Both say that they are {name}, with one machine-id.").format(name=self.machines[0]),
                _("Who a guest is stands on its disk: /etc/machine-id and /etc/hostname. It reads them at boot."),
            )
        if same_number:
            return wrong(
                _("They have two names, but still one machine-id."),
                _("A name is not an identity: write another number into /etc/machine-id of {name}.").format(name=name),
                'lab.machines[ex.machines[1]].run("tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; sync")',
            )
        if not re.fullmatch(r"[0-9a-f]{32}", number):
            return wrong(
                _("The machine-id of {name} is not one: {text!r}.").format(name=name, text=number[:60]),
                _("It has 32 digits from 0 to f: a line of /proc/sys/kernel/random/uuid, without its dashes."),
            )
        if stored != name:
            return wrong(
                _("{name} still calls itself {other}.").format(name=name, other=stored[:40]),
                _("Write {name} into its /etc/hostname.").format(name=name),
                'lab.machines[ex.machines[1]].run(f"echo {ex.machines[1]} >/etc/hostname; sync")',
            )
        if twin.tells("over") not in ("0", ""):
            return wrong(
                _("What {name} reads in /etc was laid over its files: on its disk nothing has changed.").format(
                    name=name
                ),
                _("Write into the files themselves; what is mounted over them is gone after a boot."),
            )
        if twin.tells("called") != name:
            return wrong(
                _("{name} was repaired on its disk, and the guest does not know it yet.").format(name=name),
                _("It reads its name at boot: stop it, and start it."),
                "vm = lab.machines[ex.machines[1]]\nvm.stop()\nvm.start().wait_ready()",
            )
        return done(_("They are two, and each has its letter."))
