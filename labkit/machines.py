"""`Machines`: the machines of a lab by name. It holds no state.

Knows: the session. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from labkit.acts.names import compose, get_machine
from labkit.engine.session import Session
from labkit.language import _
from labkit.machine import Machine
from labkit.model.words import stand_word


class Machines(Mapping[str, Machine]):
    """The machines of a lab by name, read afresh at every look."""

    def __init__(self, session: Session, make: Callable[[str, str], Machine]) -> None:
        self._session = session
        self._make = make  # called with the machine's id and name

    def __getitem__(self, name: object) -> Machine:
        facts = get_machine(self._session.read(), name)
        return self._make(facts.id, facts.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._session.read().machines)

    def __len__(self) -> int:
        return len(self._session.read().machines)

    def __contains__(self, name: object) -> bool:
        return compose(name) in self._session.read().machines

    def __repr__(self) -> str:
        lines = [f"{name}: {stand_word(facts)}" for name, facts in self._session.read().machines.items()]
        return "\n".join(lines) or _("no machines")
