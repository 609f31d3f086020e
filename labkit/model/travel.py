"""Values for machines that move: what a hypervisor keeps of their snapshots, what an archive holds.

Knows: the words of the course. Must not know: libvirt, what the XML texts say, how an archive is laid out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from labkit.model.image import Format
from labkit.model.snapshot import SnapshotKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """What the hypervisor keeps of a snapshot, to be given back word for word.

    Attributes:
        name: the snapshot's. parent: the name of the one before it, or None. xml: the hypervisor's text.
        current: whether the machine's current state began from it.
    """

    name: str
    parent: str | None
    xml: str
    current: bool


def sort_records(records: Iterable[SnapshotRecord]) -> tuple[SnapshotRecord, ...]:
    """Return records with parents before children, as they must be given back; siblings by name."""
    waiting = sorted(records, key=lambda record: record.name)
    sorted_: list[SnapshotRecord] = []
    while waiting:
        names = {record.name for record in waiting}
        ready = [record for record in waiting if record.parent not in names] or waiting
        sorted_ += ready
        waiting = [record for record in waiting if record not in ready]
    return tuple(sorted_)


class CarriedKind(StrEnum):
    """What a file in an archive is."""

    IMAGE = "image"
    MEMORY = "memory"
    BOOT = "boot file"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFile:
    """A file in an archive.

    Attributes:
        name: in the archive, e.g. "disks/web.vda.0.qcow2". kind: what it is.
        length: bytes of the file. full: whether the host had allocated all of them.
        stored, sha256: bytes of it in the archive, which holds no holes, and their hash; 0 and "" before it is written.
    """

    name: str
    kind: CarriedKind
    length: int
    full: bool = False
    stored: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedImage:
    """A disk image in an archive.

    Attributes:
        files: names in the archive, the image's own first. format, capacity: as in `ImageFacts`.
        backing: name in the archive of the image it is a difference to, or None.
    """

    files: tuple[str, ...]
    format: Format
    capacity: int
    backing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedPoint:
    """A machine at one point: its current state, or a snapshot.

    Attributes:
        xml: its definition as the hypervisor kept it; never used as it is.
        disks: the names in the archive of its images, by target. boot: the names of its kernel and initramfs.
        live_xml: of a snapshot of a running machine, the definition it ran with, or None.
    """

    xml: str
    disks: Mapping[str, str]
    boot: tuple[str | None, str | None] = (None, None)
    live_xml: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedSnapshot:
    """A snapshot in an archive. The attributes are those of `SnapshotFacts`; `memory` is a name in the archive."""

    name: str
    description: str
    parent: str | None
    created: int
    kind: SnapshotKind
    point: CarriedPoint
    memory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds: a machine with its snapshots.

    Attributes:
        version: of the format. machine: the name it had.
        snapshots: parents before children. current: the snapshot its current state began from, or None.
    """

    version: int
    machine: str
    point: CarriedPoint
    snapshots: tuple[CarriedSnapshot, ...]
    current: str | None
    images: tuple[CarriedImage, ...]
    files: tuple[CarriedFile, ...]

    @property
    def stored(self) -> int:
        """Bytes that its files take in the archive."""
        return sum(file.stored for file in self.files)


MANIFEST_VERSION = 1
"""The version of the format of manifests that this labkit writes and reads."""
