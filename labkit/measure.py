"""Experiments that take many steps and no talking: the formats side by side, the cost of a first write.

Whatever an experiment creates it removes, also when it fails.
Knows: the lab. Must not know: how results are drawn.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.errors import GuestError, WrongState
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.measurement import FormatRow, Timing

if TYPE_CHECKING:
    from labkit.lab import Lab

AT_ONCE = 3
"""How many machines try to boot at once."""


def measure_formats(lab: Lab, *, capacity: str | int = "8 MiB", name: str = "measuring") -> tuple[FormatRow, ...]:
    """Create an empty disk in every format, fixed and dynamic, and try whether a machine boots from such a one.

    Args:
        capacity: of the disks. name: what those of the disks and machines begin with; they are deleted afterwards.

    Returns:
        A row for each, in the order of the formats.

    Raises:
        LabError: a disk or machine could not be created; the hint says why.
    """
    rows = [_measure_format(lab, name, capacity, format, kind) for format in Format for kind in Allocation]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return tuple(pool.map(lambda row: _with_boot(lab, name, row), rows))


def _measure_format(lab: Lab, name: str, capacity: str | int, format: Format, allocation: Allocation) -> FormatRow:
    if name in lab.disks:  # an experiment that was cut short
        lab.disks[name].delete()
    began = time.monotonic()
    disk = lab.disks.create(name, capacity=capacity, format=format, allocation=allocation)
    seconds = time.monotonic() - began
    try:
        facts = disk.facts
    finally:
        disk.delete()
    return FormatRow(
        format=format,
        allocation=allocation,
        capacity=facts.capacity,
        length=facts.length,
        allocated=facts.allocated,
        seconds=seconds,
    )


def _with_boot(lab: Lab, name: str, row: FormatRow) -> FormatRow:
    """Add whether the firmware finds the boot sector of a machine made in this format, and the sector speaks."""
    if not row.format.attachable:
        return row
    machine = lab.create(
        f"{name}-{row.format}-{row.allocation}",
        image="sector",
        memory="16 MiB",
        disk_format=row.format,
        allocation=row.allocation,
        if_exists="replace",
    )
    try:
        machine.start().wait_ready(timeout=60)
        return replace(row, boots=True)
    except (GuestError, WrongState):
        return replace(row, boots=False)
    finally:
        machine.kill()
        machine.delete()


def measure_cost(
    lab: Lab, *, writes: int = 1000, rounds: int = 3, timeout: float | None = 120, extended_l2: bool = False
) -> tuple[Timing, ...]:
    """Write into fresh qcow2 images block by block, twice: fixed, dynamic, and dynamic on a full base.

    From the host, without its page cache; one small write into each cluster. The rounds are interleaved, so
    that a busy moment of the computer does not hit one kind alone.

    Args:
        writes: in each pass. rounds: how often all is repeated. timeout: seconds in all.
        extended_l2: whether the dynamic images have subclusters.

    Returns:
        One timing for "fixed", "dynamic" and "on-base", in this order.

    Raises:
        TimedOut: it took too long. NoSpace, HostTrouble: the host's.
    """
    from labkit.storage.cost import DYNAMIC, FIXED, ON_BASE
    from labkit.storage.cost import measure_cost as measure

    subjects = (FIXED, replace(DYNAMIC, extended_l2=extended_l2), replace(ON_BASE, extended_l2=extended_l2))
    limit = Limit(timeout, what=_("Measuring the cost of writes"))
    return measure(lab.home, subjects, writes=writes, repetitions=rounds, limit=limit)
