"""What an argument names (a machine, a disk, another side of the lab), looked up in the lab's state.

Knows: states. Must not know: which act asks.
"""

from __future__ import annotations

import unicodedata

from labkit.engine.session import Session
from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.plans.broken import find_damaged
from labkit.units import Shown, check_text


class NamedDisk:
    """A disk of a lab, known by its name."""

    def __init__(self, name: str) -> None:
        self.name = name


def name_disk(disk: NamedDisk | str) -> str:
    """Return the name of a disk given as an object or by its name.

    Raises:
        BadInput: it is neither.
    """
    return disk.name if isinstance(disk, NamedDisk) else check_text(disk, what="disk")


def find_disk(state: LabState, name: object) -> str:
    """Return the name of a disk of the lab, also of a damaged one: whatever is then asked of it says what is wrong.

    Raises:
        NotFound: there is none.
    """
    disks = state.disks
    if isinstance(name, str) and (name in disks or find_damaged(state, name)):
        return name
    raise NotFound(
        _("There is no disk {name!r} in this lab.").format(name=Shown(name)),
        _("There are: {names}.").format(names=", ".join(disks) or _("none yet")),
    )


def compose(name: object) -> str:
    """Return a name as labkit writes it, with composed letters (NFC); "" for what is not text."""
    return unicodedata.normalize("NFC", name) if isinstance(name, str) else ""


def get_machine(state: LabState, name: object) -> MachineFacts:
    """Return a machine of the lab.

    Raises:
        NotFound: there is none of that name.
    """
    machines = state.machines
    if compose(name) not in machines:
        raise NotFound(
            _("There is no machine {name!r} in this lab.").format(name=Shown(name)),
            _("There are: {names}.").format(names=", ".join(machines) or _("none yet")),
        )
    return machines[compose(name)]


def side_of(lab: object) -> Session:
    """Return the session of a lab.

    Raises:
        BadInput: it is not a lab.
    """
    session = getattr(lab, "session", None)
    if not isinstance(session, Session):
        raise BadInput(
            _("{other!r} is not a lab.").format(other=Shown(lab)), _("Open the other side first: lab.neighbour().")
        )
    return session
