"""Guests that an act has left paused unintentionally: they are resumed once the act has ended.

If an act filled the host's disk, QEMU pauses a guest whose write fails; nothing is lost, and the write is tried again
when the guest goes on. And a guest is stopped while its memory is written, or for an instant to make QEMU write its
tables: if the kernel or the daemon dies then, nobody resumes it.

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
"""Seconds that a guest must run without being paused again to count as going on."""


_NOBODY_SAYS = (Reason.BY_USER, Reason.UNKNOWN)
"""What a new daemon gives as the reason if the old one died before it recorded one: as if a user had paused it."""


def let_go_on(machines: Iterable[MachineFacts], ran: Container[str], domains: Domains) -> Iterator[str]:
    """Resume the machines that the act or a lack of room stopped; yields a sentence about each that is paused again.

    Args:
        ran: the names of those that were running when the act began; labkit's users cannot pause them during the act.
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
