"""What a disk's first writes cost, measured on this host: fixed, dynamic, dynamic on a base, cluster sizes.

Writes go past the host's page cache (O_DIRECT), one at a time. Repetitions are interleaved, so that a slow moment of
the host affects all subjects alike.
Source: QEMU docs/tools/qemu-img.rst (bench).
Knows: qemu-img bench. Must not know: guests, figures.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Allocation, Format
from labkit.model.measurement import Timing
from labkit.storage.files import host_errors
from labkit.storage.process import run
from labkit.storage.qemu_img import create
from labkit.units import KIB, MIB

_SECONDS = re.compile(r"Run completed in ([0-9.]+) seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An image to write to.

    Attributes:
        slug: names it in results. format, allocation: of the image.
        on_base: whether it stands on an image full of data, so that a first write copies.
        cluster_size: bytes, qcow2 only; None: the usual 64 KiB. extended_l2: 32 subclusters in each cluster.
    """

    slug: str
    format: Format
    allocation: Allocation
    on_base: bool = False
    cluster_size: int | None = None
    extended_l2: bool = False


FIXED = Subject(slug="fixed", format=Format.QCOW2, allocation=Allocation.FIXED)
DYNAMIC = Subject(slug="dynamic", format=Format.QCOW2, allocation=Allocation.DYNAMIC)
ON_BASE = Subject(slug="on-base", format=Format.QCOW2, allocation=Allocation.DYNAMIC, on_base=True)
SUBCLUSTERS = Subject(
    slug="on-base-subclusters",
    format=Format.QCOW2,
    allocation=Allocation.DYNAMIC,
    on_base=True,
    cluster_size=128 * KIB,
    extended_l2=True,
)


def measure_cost(
    folder: Path,
    subjects: Sequence[Subject] = (FIXED, DYNAMIC, ON_BASE, SUBCLUSTERS),
    *,
    writes: int = 6000,
    size: int = 4 * KIB,
    step: int = 64 * KIB,
    repetitions: int = 3,
    on_run: Callable[[int, int], None] | None = None,
    limit: Limit = NO_LIMIT,
) -> tuple[Timing, ...]:
    """Write blocks into new images for the first time and once more; nothing is left afterwards.

    Args:
        folder: on the file system to measure, with room for up to three images of writes x step bytes.
        writes: how many. size: bytes of each. step: bytes from one to the next; with a step of a cluster or more, each
            write of the first pass goes to an unused cluster.
        repetitions: of everything. on_run: called with runs done and runs in all.

    Returns:
        For each subject, in order, the seconds of every repetition of both passes.

    Raises:
        HostTrouble: the file system does not support O_DIRECT. NoSpace: it is full.
        Cancelled, TimedOut: from the limit.
    """
    capacity = -(-writes * step // MIB) * MIB
    first: dict[str, list[float]] = {subject.slug: [] for subject in subjects}
    again: dict[str, list[float]] = {subject.slug: [] for subject in subjects}
    with tempfile.TemporaryDirectory(prefix=".cost-", dir=folder) as name:
        base = Path(name) / "base.raw"
        if any(subject.on_base for subject in subjects):
            _write_data(base, capacity, limit)
        for turn in range(repetitions):
            for place, subject in enumerate(subjects):
                path = Path(name) / f"{subject.slug}.{subject.format}"
                _make(path, subject, capacity, base, limit)
                first[subject.slug].append(_bench(path, subject.format, writes, size, step, limit))
                again[subject.slug].append(_bench(path, subject.format, writes, size, step, limit))
                for file in path.parent.glob(f"{subject.slug}*"):
                    file.unlink()
                if on_run is not None:
                    on_run(turn * len(subjects) + place + 1, repetitions * len(subjects))
    return tuple(
        Timing(slug=subject.slug, first=tuple(first[subject.slug]), again=tuple(again[subject.slug]))
        for subject in subjects
    )


def _make(path: Path, subject: Subject, capacity: int, base: Path, limit: Limit) -> None:
    create(
        path,
        subject.format,
        capacity,
        subject.allocation,
        backing=base if subject.on_base else None,
        backing_format=Format.RAW if subject.on_base else None,
        cluster_size=subject.cluster_size,
        extended_l2=subject.extended_l2,
        limit=limit,
    )


def _write_data(path: Path, capacity: int, limit: Limit) -> None:
    block = b"labkit!\n" * (MIB // 8)
    with host_errors(path), path.open("xb") as file:
        for _block in range(capacity // MIB):
            limit.check()
            file.write(block)


def _bench(path: Path, format: Format, writes: int, size: int, step: int, limit: Limit) -> float:
    argv = [
        *("qemu-img", "bench", "-w", "-t", "none", "-d", "1", "-f", format.driver),
        *("-c", str(writes), "-s", str(size), "-S", str(step), str(path)),
    ]
    try:
        found = _SECONDS.search(run(argv, limit=limit).output)
    except HostTrouble as error:
        if "O_DIRECT" not in error.details:
            raise
        raise HostTrouble(
            _("The file system of {folder} cannot do without the page cache.").format(folder=path.parent.parent),
            _("Measure in a folder on a disk; one in memory (tmpfs) has nothing to measure."),
            details=error.details,
        ) from error
    if found is None:
        raise HostTrouble(_("qemu-img bench told no time."), _("Do it again."))
    return float(found[1])
