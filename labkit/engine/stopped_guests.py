"""Guests that stand still although an act did not mean them to: they go on once it is ended.

Where an act took the host's last room, QEMU pauses a guest whose write finds none; nothing is lost, and the write is
tried again when it goes on. And a guest is stopped for an instant while its memory is written, or so that QEMU writes
its images down: where the kernel or the daemon dies in that instant, nobody lets it go on.

Knows: the rooms below. Must not know: steps, the journal.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress

from labkit.errors import LabError
from labkit.hypervisor.domains import Domains
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import MachineFacts, MachineState, Reason

STAYS_FOR = 0.5
"""Seconds after which a guest that is not paused again counts as going on."""


_NOBODY_SAYS = (Reason.BY_USER, Reason.UNKNOWN)
"""Why a guest is paused whose daemon died before it had noted why: a new one takes it for somebody's wish."""


def let_go_on(machines: Iterable[MachineFacts], ran: Container[str], domains: Domains) -> Iterator[str]:
    """Resume those of them that the act or a lack of room stopped; yields a sentence about each that is paused again.

    Args:
        ran: the names of those that were running when the act began. While it is at work labkit pauses none of them.
    """
    for facts in machines:
        left_so = facts.name in ran and facts.reason in _NOBODY_SAYS
        if facts.state is not MachineState.PAUSED or not (left_so or facts.reason is Reason.NO_SPACE):
            continue
        with suppress(LabError):
            domains.resume(facts.id, subject=facts.name)
            if not _is_paused_again(facts.id, domains):
                continue
        if left_so:
            continue
        yield _("{machine} is paused: the host's disk is full. Make room, then resume {machine}.").format(
            machine=facts.name
        )


def _is_paused_again(machine_id: str, domains: Domains) -> bool:
    def look() -> bool | None:
        return True if domains.state(machine_id)[0] is MachineState.PAUSED else None

    return domains.wait_for(look, Limit(STAYS_FOR)) is not None
