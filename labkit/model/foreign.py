"""An image file from outside the lab, after its inspection.

Knows: the words of the course. Must not know: how it is inspected.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.model.image import Allocation, Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A file that a person brings, found to be a whole image that depends on nothing else.

    Attributes:
        path: its (first) file, absolute, links followed. format: as its own bytes say.
        capacity, length, allocated: bytes, the latter two of all its files.
        allocation: as its header says.
        data: bytes that a dynamic copy of it will hold, compressed data unpacked.
        files: all its files, absolute. seals: for each file, what shows whether it has changed since.
    """

    path: str
    format: Format
    capacity: int
    length: int
    allocated: int
    allocation: Allocation
    data: int
    files: tuple[str, ...]
    seals: tuple[tuple[int, int, int], ...]
