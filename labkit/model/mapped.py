"""Memory that guests map instead of reading it: its files beside the one a snapshot keeps, and how QEMU names it.

    memory/web.0.mem            what the hypervisor has written of a guest: definition, memory and devices in one stream
    memory/web.0.mem.pages      of that the memory alone, as the guest sees it
    memory/web.0.mem.devices    and all else

Clones that map the pages share what they have not written: each has its own copy of a page from its first write on.
Both files are made from the first one and are never written again under their names; they go where it goes.

Knows: names. Must not know: what is in the files, who maps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PAGES, DEVICES = ".pages", ".devices"
"""How their names end, behind the name of the memory that they were made from."""

MAPPED_NAMES: Final = {"pc.ram": "labram", "mach-virt.ram": "labkit.memory"}
"""How QEMU names a guest's memory where it is mapped, by its name in any other guest. Both are equally long, so that
what a guest leaves behind that had it mapped can be made that of any other."""


def pages_of(memory: str) -> str:
    """Return the file with the pages of a snapshot's memory, absolute as that is."""
    return memory + PAGES


def devices_of(memory: str) -> str:
    """Return the file with what else there is beside the pages of a snapshot's memory."""
    return memory + DEVICES


def files_beside(memories: Iterable[str | None]) -> tuple[str, ...]:
    """Return the files that may be beside memories that snapshots keep, be they there or not."""
    return tuple(each for memory in memories if memory for each in (pages_of(memory), devices_of(memory)))
