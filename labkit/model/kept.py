"""Guests that are kept booted, so that new machines of their kind need no boot: what a kept one consists of.

    warm/KIND/kept.json                       which guest image it came from, and what QEMU calls its memory
    warm/KIND/disks/vda                       its disk, as it was at the instant at which it was stopped
    warm/KIND/disks/vda.written               of that, only what it had written, as a layer on the guest image
    warm/KIND/memory/guest.mem.pages          its memory, as it saw that itself
    warm/KIND/memory/guest.mem.devices        and all else that QEMU knows of it
    warm/KIND/seals.json                      what these files were when they were made

Knows: names. Must not know: what is in the files, where the folder is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from labkit.model.image import Format
from labkit.model.mapped import devices_of, pages_of

DISK: Final = "disks/vda"
WRITTEN: Final = "disks/vda.written"
MEMORY: Final = "memory/guest.mem"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlankDisk:
    """A disk of a machine, besides its first, to which nothing was ever written.

    Attributes:
        target: what the guest calls it. path: its image. format: of that. capacity: bytes.
        seen: the bytes of the image's file, and when it was written, ns since 1970, when it was found to be blank.
    """

    target: str
    path: str
    format: Format
    capacity: int
    seen: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGuest:
    """A guest that is kept booted.

    Attributes:
        folder: absolute; its name is the kind of machine. image: the guest image it came from.
        block: QEMU's name for its memory where that is mapped. length: bytes of its memory.
    """

    folder: str
    image: str
    block: str
    length: int

    @property
    def disk(self) -> str:
        """Its disk."""
        return f"{self.folder}/{DISK}"

    @property
    def written(self) -> str:
        """What it has written to its disk."""
        return f"{self.folder}/{WRITTEN}"

    @property
    def memory(self) -> str:
        """The path after which the files with its memory are named; there is no file of this very name."""
        return f"{self.folder}/{MEMORY}"

    @property
    def pages(self) -> str:
        """The file with its memory."""
        return pages_of(self.memory)

    @property
    def devices(self) -> str:
        """The file with the state of its devices."""
        return devices_of(self.memory)
