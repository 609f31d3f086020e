"""Guests that the host's full disk stopped while an act took the last room: they go on once it is taken back.

QEMU pauses a guest whose write finds no room; nothing is lost, and the write is tried again when it goes on.

Knows: the rooms below. Must not know: steps, the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from labkit.errors import LabError
from labkit.hypervisor.domains import Domains
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import MachineFacts, MachineState, Reason

STAYS_FOR = 0.5
"""Seconds after which a guest that is not paused again counts as going on."""


def let_go_on(machines: Iterable[MachineFacts], domains: Domains) -> Iterator[str]:
    """Resume those of them that a lack of room stopped; yields a sentence about each that is paused again."""
    for facts in machines:
        if facts.state is not MachineState.PAUSED or facts.reason is not Reason.NO_SPACE:
            continue
        with suppress(LabError):
            domains.resume(facts.id, subject=facts.name)
            if not _is_paused_again(facts.id, domains):
                continue
        yield _("{machine} is paused: the host's disk is full. Make room, then resume {machine}.").format(
            machine=facts.name
        )


def _is_paused_again(machine_id: str, domains: Domains) -> bool:
    def look() -> bool | None:
        return True if domains.state(machine_id)[0] is MachineState.PAUSED else None

    return domains.wait_for(look, Limit(STAYS_FOR)) is not None
