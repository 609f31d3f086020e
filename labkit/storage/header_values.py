"""What an image's header can say, as values.

Knows: the words of the headers. Must not know: where they are in a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.model.image import Allocation


class BadHeader(Exception):
    """A file's header does not fit its format, or is damaged; the text says what is wrong."""


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
        backing: the name of the image below, as written; backing_format: as written.
        data_file: whether the data are in another file that does not belong to the format's own set.
        encrypted, corrupt: marks.
        internal: how many snapshots QEMU keeps inside the image.
        extents: a VMDK's pieces in other files, in order.
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
