"""Experiments that take many steps and no talking: the formats side by side, the cost of a first write.

Whatever an experiment creates it removes, also when it fails.
Knows: the lab. Must not know: how results are drawn.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import GuestError, WrongState
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.measurement import FormatRow, Timing
from labkit.units import MIB

if TYPE_CHECKING:
    from labkit.lab import Lab

AT_ONCE = 3
"""How many machines try to boot at once."""

STEP = 64 * 1024
"""Bytes from one write to the next: a cluster of qcow2, so that each is a first write."""


def measure_formats(lab: Lab, *, capacity: str | int = "8 MiB", name: str = "format") -> tuple[FormatRow, ...]:
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
    limit = Limit(timeout, what=_("Measuring the cost of writes"))
    capacity = -(-writes * STEP // MIB) * MIB
    first: dict[str, list[float]] = {}
    again: dict[str, list[float]] = {}
    with _scratch(lab.home) as folder:
        for number in range(rounds):
            for slug, path in _fresh_images(folder, number, capacity, extended_l2, limit):
                for times in (first, again):
                    times.setdefault(slug, []).append(_time(path, writes, limit))
                path.unlink()
    return tuple(Timing(slug=slug, first=tuple(first[slug]), again=tuple(again[slug])) for slug in first)


def _time(path: Path, writes: int, limit: Limit) -> float:
    from labkit.storage.bench import time_writes

    return time_writes(path, Format.QCOW2, count=writes, step=STEP, limit=limit)


def _fresh_images(
    folder: Path, number: int, capacity: int, extended_l2: bool, limit: Limit
) -> Iterator[tuple[str, Path]]:
    from labkit.storage import qemu_img

    base, fixed = folder / "base.qcow2", folder / f"fixed-{number}.qcow2"
    qemu_img.create(fixed, Format.QCOW2, capacity, Allocation.FIXED, limit=limit)
    if not base.exists():
        shutil.copyfile(fixed, base)
    yield "fixed", fixed
    dynamic = folder / f"dynamic-{number}.qcow2"
    qemu_img.create(dynamic, Format.QCOW2, capacity, Allocation.DYNAMIC, extended_l2=extended_l2, limit=limit)
    yield "dynamic", dynamic
    above = folder / f"above-{number}.qcow2"
    qemu_img.create(
        above,
        Format.QCOW2,
        capacity,
        Allocation.DYNAMIC,
        backing=base,
        backing_format=Format.QCOW2,
        extended_l2=extended_l2,
        limit=limit,
    )
    yield "on-base", above


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """Lend a folder beside the lab's disks, on the same file system; it is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=home, prefix="measuring-") as folder:
        yield Path(folder)
