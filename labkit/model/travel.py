"""Values of machines that travel: what a hypervisor keeps of their snapshots.

Knows: the words of the course. Must not know: libvirt, what the records say inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """What the hypervisor keeps of a snapshot, to be given back word for word.

    Attributes:
        name: the snapshot's. parent: the name of the one before it, or None. xml: the record itself.
        current: whether the machine's current state began from it.
    """

    name: str
    parent: str | None
    xml: str
    current: bool


def sort_records(records: Iterable[SnapshotRecord]) -> tuple[SnapshotRecord, ...]:
    """Return records with parents before children, as they must be given back; siblings by name."""
    waiting = sorted(records, key=lambda record: record.name)
    sorted_: list[SnapshotRecord] = []
    while waiting:
        names = {record.name for record in waiting}
        ready = [record for record in waiting if record.parent not in names] or waiting
        sorted_ += ready
        waiting = [record for record in waiting if record not in ready]
    return tuple(sorted_)
