"""The record of a lab: what the hypervisor knew of its machines, so that the lab's folder is the whole lab.

For a machine that the hypervisor knows, the hypervisor's word counts; what it does not know comes back from the record.
Knows: the words of the course. Must not know: files, libvirt, what the XML texts in it say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labkit.model.image import Allocation
from labkit.model.travel import SnapshotRecord

RECORD_VERSION = 1
"""The version of the format of records that this labkit writes and reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMark:
    """An active image when its machine was saved: bytes, modification time in ns since 1970, hash (None: too large)."""

    size: int
    mtime_ns: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMemory:
    """The memory of a saved machine.

    Attributes:
        in_folder: whether it is in the lab's folder; else only the hypervisor has it.
        disks: its active images as they were then, by file name.
    """

    in_folder: bool
    disks: Mapping[str, DiskMark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """What the hypervisor knew of a machine.

    Attributes:
        id: its UUID. name: in the lab. domain: the hypervisor's name for it.
        xml: its persistent definition, as the hypervisor kept it.
        snapshots: parents before children; at most one is the current one.
        instance: the lab's hypervisor instance it is on, "" for the session's own.
        uri: where the session's own instance was reached.
        saved: its memory, if it is saved; else None.
        returning: whether it is being defined again; meanwhile the hypervisor knows only a part of it.
    """

    id: str
    name: str
    domain: str
    xml: str
    snapshots: tuple[SnapshotRecord, ...] = ()
    instance: str = ""
    uri: str = ""
    saved: SavedMemory | None = None
    returning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFor:
    """What an image was made for, and how.

    Attributes:
        disk: which disk. machine_id, machine: the machine that used it first; "" for a free disk.
        allocation: how labkit made it; None: something else has made it.
    """

    disk: str
    machine_id: str = ""
    machine: str = ""
    allocation: Allocation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSnapshot:
    """A snapshot that another program made the hypervisor forget, while its machine stayed known."""

    machine_id: str
    machine: str
    record: SnapshotRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPoint:
    """What the record knows of an image that the hypervisor has forgotten.

    Attributes:
        machine_id, machine, disk: the machine and the disk it belonged to.
        snapshot: the snapshot that kept it, or None if it was the active image of a machine that is gone.
        description, parent, memory: those of the snapshot; `memory` is the file with its memory, or None.
        xml: what the hypervisor kept of the snapshot (or of the machine), to be given back.
        created: when the snapshot was taken, seconds since 1970.
        why_not_trusted: why `xml` is not given to the hypervisor, one sentence; "" if nothing speaks against it.
    """

    machine_id: str
    machine: str
    disk: str
    snapshot: str | None
    description: str
    parent: str | None
    memory: str | None
    xml: str
    why_not_trusted: str = ""
    created: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRecord:
    """What a lab's folder keeps of its machines.

    Attributes:
        lab_id: whose it is. home: the lab's folder when it was written; paths in its XML texts begin with it
            (absolute).
        machines: sorted by name. lost: snapshots that only the record knows.
        made: what each image was made for, by its path within the folder, such as "disks/web.vda.0.qcow2".
        writer: the host and definitions beside which it was last written, see `read_writer`; "" if not known.
        version: of the format.
    """

    lab_id: str
    home: str
    machines: tuple[MachineRecord, ...] = ()
    lost: tuple[LostSnapshot, ...] = ()
    made: Mapping[str, MadeFor] = field(default_factory=dict)
    writer: str = ""
    version: int = RECORD_VERSION

    @property
    def is_empty(self) -> bool:
        """Whether it holds no machine and no image."""
        return not (self.machines or self.lost or self.made)

    def find(self, machine_id: str) -> MachineRecord | None:
        """Return its entry for a machine, or None."""
        return next((machine for machine in self.machines if machine.id == machine_id), None)


SameSnapshot = Callable[[SnapshotRecord, SnapshotRecord], bool]


def _have_one_name(one: SnapshotRecord, other: SnapshotRecord) -> bool:
    return one.name == other.name


def update_record(
    old: LabRecord,
    found: Mapping[str, MachineRecord],
    *,
    asked: frozenset[str],
    own: frozenset[str],
    others: frozenset[str],
    removed: frozenset[str] | None = None,
    same: SameSnapshot = _have_one_name,
) -> LabRecord:
    """Return the record, brought up to date with what the hypervisor knows now.

    What an act of labkit removed is dropped. What vanished otherwise is kept: a machine as it was, a snapshot among
    `lost`.

    Args:
        found: the machines that the hypervisor knows, by id.
        asked: the ids of the machines of the old record that the hypervisor was asked about.
        own: the names of the machines of the act that ends now.
        others: the names of the machines that other acts are at work on; those acts will record the results themselves.
        removed: the ids of the machines that the act removed from the hypervisor; None: all of `own` that are gone.
        same: whether two records are of the same snapshot, since another snapshot may get the same name later.
    """
    kept: dict[str, MachineRecord] = {}
    lost = list(old.lost)
    for machine in old.machines:
        new = found.get(machine.id)
        is_own = machine.name in own or (new is not None and new.name in own)
        if machine.id not in asked or machine.returning or (machine.name in others and not is_own):
            kept[machine.id] = machine
        elif new is not None:
            kept[machine.id] = new
            lost += [] if is_own else _find_vanished(machine, new, same)
        elif machine.id not in removed if removed is not None else not is_own:
            kept[machine.id] = machine  # by id: the name may be another machine's by now
    for id_, machine in found.items():
        if id_ not in kept and (machine.name in own or machine.name not in others):
            kept[id_] = machine
    return LabRecord(
        lab_id=old.lab_id,
        home=old.home,
        machines=tuple(sorted(kept.values(), key=lambda machine: (machine.name, machine.id))),
        lost=tuple(each for each in dict.fromkeys(lost) if not _is_known(each, kept, same)),
        made=old.made,
        writer=old.writer,
    )


def _find_vanished(before: MachineRecord, now: MachineRecord, same: SameSnapshot) -> list[LostSnapshot]:
    return [
        LostSnapshot(machine_id=before.id, machine=now.name, record=snapshot)
        for snapshot in before.snapshots
        if not any(same(snapshot, each) for each in now.snapshots)
    ]


def _is_known(lost: LostSnapshot, machines: Mapping[str, MachineRecord], same: SameSnapshot) -> bool:
    """Whether the hypervisor knows a snapshot again."""
    machine = machines.get(lost.machine_id)
    return machine is not None and any(same(lost.record, each) for each in machine.snapshots)
