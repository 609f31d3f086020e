"""What an image's header can say, as values.

Knows: the words of the headers. Must not know: where they are in a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.model.image import Allocation


class BadHeader(Exception):
    """A file's header is not one of its format, or is damaged; says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A piece of a VMDK: its kind ("FLAT", "SPARSE", …), bytes, and the file that holds it."""

    kind: str
    length: int
    name: str | None
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a header says.

    Attributes:
        capacity: bytes the guest sees, as QEMU counts them.
        allocation: None where the format has no such mark (raw, qcow2).
        backing: name of the image it is a difference to, as written; backing_format: as written.
        data_file: whether the data lie in another file that is not part of the format's own set.
        encrypted, corrupt: marks.
        internal: snapshots that QEMU keeps inside the image.
        extents: a VMDK's pieces that lie in other files, in order.
    """

    capacity: int
    allocation: Allocation | None = None
    backing: str | None = None
    backing_format: str | None = None
    data_file: bool = False
    encrypted: bool = False
    corrupt: bool = False
    internal: int = 0
    extents: tuple[Extent, ...] = ()
