"""`Machines`: the machines of a lab by name. It holds no state.

Knows: the lab they are of. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labkit.errors import NotFound
from labkit.language import _
from labkit.machine import Machine
from labkit.model.words import stand_word
from labkit.units import Shown

if TYPE_CHECKING:
    from labkit.lab import Lab


class Machines(Mapping[str, Machine]):
    """The machines of a lab by name, read afresh at every look."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __getitem__(self, name: object) -> Machine:
        machines = self._lab.state.machines
        composed = unicodedata.normalize("NFC", name) if isinstance(name, str) else ""
        if composed not in machines:
            known = ", ".join(machines) or _("none yet")
            raise NotFound(
                _("There is no machine {name!r} in this lab.").format(name=Shown(name)),
                _("There are: {names}.").format(names=known),
            )
        return Machine(self._lab, machines[composed].id, composed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lab.state.machines)

    def __len__(self) -> int:
        return len(self._lab.state.machines)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and unicodedata.normalize("NFC", name) in self._lab.state.machines

    def __repr__(self) -> str:
        lines = [f"{name}: {stand_word(facts)}" for name, facts in self._lab.state.machines.items()]
        return "\n".join(lines) or _("no machines")
