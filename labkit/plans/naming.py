"""The names of files that an act makes: numbered beyond every name known to any side, so that none is ever reused.

A name that was used before may still be in a forgotten snapshot, in a seal, in an act under way, or in the definitions
of an older or newer state of the lab: a new file of that name would silently take the other's place.

Knows: the state. Must not know: which act asks.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Container, Iterable

from labkit.model.disk import disk_name, image_number, image_path
from labkit.model.image import Format
from labkit.model.state import LabState


def next_image_path(state: LabState, disk: str, format: Format, *, beyond: int = 0) -> str:
    """Return the path of a disk's next image, numbered beyond all names that are known.

    Args:
        beyond: how many of the next numbers the plan uses already.
    """
    numbers = (image_number(path) for path in state.named if disk_name(path) == disk)
    number = 1 + max(numbers, default=-1) + beyond
    return image_path(posixpath.join(state.home, "disks"), disk, number, format)


def free_memory_paths(state: LabState, machine: str) -> Iterable[str]:
    """Yield free paths for the memory of a machine's next snapshots."""
    return _free(state, "memory", machine, "mem")


def free_console_log(state: LabState, name: str) -> str:
    """Return a free path for a new machine's console log; one that was renamed keeps the log of its old name."""
    return next(iter(_free(state, "consoles", name, "log")))


def free_disk_name(state: LabState, wanted: str, taken: Iterable[str] = ()) -> str:
    """Return a disk's name that no image ever had: `wanted`, with a number after it if need be.

    Args:
        taken: names that the plan uses already.
    """
    used = {*map(disk_name, state.named), *state.disks, *taken}
    return wanted if wanted not in used else numbered(wanted, used)


def numbered(stem: str, taken: Container[str], *, first: int = 2) -> str:
    """Return `stem` with the first number after it, from `first` on, that makes it a name which is not taken."""
    names = (f"{stem}-{number}" for number in itertools.count(first))
    return next(name for name in names if name not in taken)


def _free(state: LabState, folder: str, name: str, ending: str) -> Iterable[str]:
    numbers = itertools.count()
    paths = (posixpath.join(state.home, folder, f"{name}.{number}.{ending}") for number in numbers)
    return (path for path in paths if path not in state.named)
