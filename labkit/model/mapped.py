"""Memory that guests map instead of reading it: the files beside a snapshot's memory file, and QEMU's names for it.

    memory/web.0.mem            what the hypervisor has written of a guest: definition, memory and devices in one stream
    memory/web.0.mem.pages      of that the memory alone, as the guest sees it
    memory/web.0.mem.devices    and all else

Clones that map the pages share those that they have not written to; each gets its own copy of a page at its first
write. Both files are made from the first one and never rewritten under their names; they are deleted together with it.

Knows: names. Must not know: what is in the files, who maps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PAGES, DEVICES = ".pages", ".devices"
"""The endings of their names, after the name of the memory file that they are made from."""

MAPPED_NAMES: Final = {"pc.ram": "labram", "mach-virt.ram": "labkit.memory"}
"""QEMU's name for a guest's memory if it is mapped, by its name in any other guest. Both have the same length, so that
what a guest with mapped memory has saved can be made like that of any other."""


def pages_of(memory: str) -> str:
    """Return the path of the file with the pages of a snapshot's memory file, absolute if that is."""
    return memory + PAGES


def devices_of(memory: str) -> str:
    """Return the path of the file with everything but the pages of a snapshot's memory file."""
    return memory + DEVICES


def files_beside(memories: Iterable[str | None]) -> tuple[str, ...]:
    """Return the paths of the files that may exist beside the memory files of snapshots."""
    return tuple(each for memory in memories if memory for each in (pages_of(memory), devices_of(memory)))
