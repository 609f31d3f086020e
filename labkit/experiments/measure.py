"""Experiments that measure: the formats side by side, the cost of a first write.

Whatever an experiment creates it removes, also when it fails.
Knows: the lab. Must not know: how results are drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.errors import GuestError, WrongState
from labkit.experiments.given import checked
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.measurement import FormatRow, Timing
from labkit.model.measurement import is_slower as spreads_apart
from labkit.storage import files
from labkit.units import KIB, check_name, parse_size

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.machine import Machine

AT_ONCE = 3
"""How many machines boot at the same time."""

_BLOCK = 64 * KIB


@checked
def measure_formats(lab: Lab, *, capacity: str | int = "8 MiB", name: str = "measuring") -> tuple[FormatRow, ...]:
    """Create an empty disk in every format, fixed and dynamic, and try whether a machine boots from such a disk.

    Args:
        capacity: of the disks. name: the beginning of the names of disks and machines, which are deleted afterwards.

    Returns:
        A row for each disk, in the order of the formats.

    Raises:
        LabError: a disk or machine could not be created; the hint says why.
    """
    parse_size(capacity)
    check_name(name, what=_("machine"))
    rows = [_measure_format(lab, name, capacity, format, kind) for format in Format for kind in Allocation]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return tuple(pool.map(lambda row: _with_boot(lab, name, row), rows))


@checked
def measure_copy_rate(lab: Lab) -> float:
    """Return how fast a small copy in the lab's folder is, in bytes a second: an estimate for large ones.

    Raises:
        NoSpace, HostTrouble: the folder cannot be written to.
    """
    return files.measure_copy_rate(lab.home)


@checked
def is_slower(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one series of durations is longer than another beyond doubt: the spreads do not overlap.

    Raises:
        BadInput: they are not series of numbers.
    """
    return spreads_apart(one, other)


def _measure_format(lab: Lab, name: str, capacity: str | int, format: Format, allocation: Allocation) -> FormatRow:
    if name in lab.disks:  # left by an interrupted experiment
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
    """Add whether a machine whose disk has this format boots: the boot sector prints its greeting."""
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


@checked
def measure_cost(
    lab: Lab, *, writes: int = 1000, rounds: int = 3, timeout: float | None = 120, extended_l2: bool = False
) -> tuple[Timing, ...]:
    """Write into new qcow2 images block by block, twice: fixed, dynamic, and dynamic on a full base.

    The host writes, past its page cache, with one small write into each cluster. The rounds are interleaved, so that a
    busy moment of the computer does not affect one kind alone.

    Args:
        writes: how many in each pass. rounds: how often everything is repeated. timeout: seconds in all.
        extended_l2: whether the dynamic images have subclusters.

    Returns:
        One timing for "fixed", "dynamic" and "on-base", in this order.

    Raises:
        TimedOut: it took too long. NoSpace, HostTrouble: the images cannot be written.
    """
    from labkit.storage.cost import DYNAMIC, FIXED, ON_BASE
    from labkit.storage.cost import measure_cost as measure

    subjects = (FIXED, replace(DYNAMIC, extended_l2=extended_l2), replace(ON_BASE, extended_l2=extended_l2))
    limit = Limit(timeout, what=_("Measuring the cost of writes"))
    return measure(lab.home, subjects, writes=writes, repetitions=rounds, limit=limit)


@checked
def measure_cost_inside(
    lab: Lab, *, writes: int = 200, rounds: int = 3, name: str = "measuring", timeout: float = 300
) -> tuple[Timing, ...]:
    """Let a guest write into new qcow2 disks block by block, twice: fixed, dynamic, and dynamic on a full base.

    It is like `measure_cost`, but from inside: the guest writes blocks of 64 KiB past its own page cache, and each
    request includes the cost of virtualization. The base is what the guest wrote before a snapshot was taken.

    Args:
        writes: how many in each pass. rounds: how often everything is repeated, each time with new disks.
        name: of the machine, which is made for it and deleted afterwards. timeout: seconds for one pass.

    Returns:
        One timing for "fixed", "dynamic" and "on-base", in this order.
    """
    found: dict[str, list[tuple[float, float]]] = {"fixed": [], "dynamic": [], "on-base": []}
    for _round in range(rounds):
        machine = lab.create(name, if_exists="replace")
        try:
            for kind in Allocation:
                capacity = 2 * writes * _BLOCK
                disk = lab.disks.create(f"{name}-{kind}", capacity=capacity, allocation=kind)
                machine.attach(disk)
            machine.start().wait_ready()
            for target, kind in zip(("vdb", "vdc"), Allocation, strict=True):
                found[kind].append(_two_passes(machine, target, writes, timeout))
            machine.snapshots.take("base")
            found["on-base"].append(_two_passes(machine, "vdc", writes, timeout))
        finally:
            machine.kill()
            machine.delete()
    return tuple(
        Timing(slug=slug, first=tuple(first for first, _again in runs), again=tuple(again for _first, again in runs))
        for slug, runs in found.items()
    )


def _two_passes(machine: Machine, target: str, writes: int, timeout: float) -> tuple[float, float]:
    command = f"dd if=/dev/zero of=/dev/{target} bs={_BLOCK} count={writes} oflag=direct"
    seconds = []
    for _pass in range(2):
        began = time.monotonic()
        result = machine.run(command, timeout=timeout)
        seconds.append(time.monotonic() - began)
        if not result:
            raise GuestError(_("The guest could not write: {text}").format(text=result.stderr.strip()))
    return seconds[0], seconds[1]
