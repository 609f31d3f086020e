"""The record of a lab: what the hypervisor knew of its machines, so that the lab's folder is the whole lab.

The hypervisor is the truth for a machine it knows; the record brings back what it does not.
Knows: the words of the course. Must not know: files, libvirt, what its texts say inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labkit.model.travel import SnapshotRecord

RECORD_VERSION = 1
"""The form of records that this labkit writes and reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMark:
    """What an active image was when its machine was saved: bytes, nanoseconds since 1970, hash (None: too large)."""

    size: int
    mtime_ns: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMemory:
    """The memory of a saved machine.

    Attributes:
        in_folder: whether the lab's folder has it; else only the hypervisor has.
        disks: what its active images were, by file name.
    """

    in_folder: bool
    disks: Mapping[str, DiskMark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """What the hypervisor knew of a machine.

    Attributes:
        id: its UUID. name: in the lab. domain: the hypervisor's name for it.
        xml: its persistent definition, as it was kept.
        snapshots: parents before children; one may be the current one.
        instance: the lab's hypervisor instance it is on, "" for the session's own.
        uri: how that was reached, for the session's own.
        saved: its memory, where it is saved; None: it is not.
        returning: whether it is being defined again; what the hypervisor knows of it meanwhile is not whole.
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
    """What an image was made for: a disk, and the machine that used it first ("": none, a free disk)."""

    disk: str
    machine_id: str = ""
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSnapshot:
    """A snapshot that the hypervisor was made to forget by another program, while its machine stayed known."""

    machine_id: str
    machine: str
    record: SnapshotRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPoint:
    """What the record knows of an image that the hypervisor has forgotten.

    Attributes:
        machine_id, machine, disk: whose it was, and which disk's.
        snapshot: the snapshot that kept it, or None: it was the active one of a machine that is gone.
        description, parent, memory: of that snapshot; `memory` is the file with its memory, or None.
        xml: what the hypervisor kept of the snapshot (or of the machine), to be given back.
        why_not_trusted: why that is not given to the hypervisor, one sentence; "": nothing speaks against it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRecord:
    """What a lab's folder keeps of its machines.

    Attributes:
        lab_id: whose it is. home: the folder that the paths in its texts begin with (absolute).
        machines: sorted by name. lost: snapshots that only the record knows.
        made: what each image was made for, by its path within the folder, such as "disks/web.vda.0.qcow2".
        writer: beside which definitions it was last written, as `read_writer` tells; "": not known.
        version: of this form.
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
        """Whether it says nothing of any machine or image."""
        return not (self.machines or self.lost or self.made)

    def find(self, machine_id: str) -> MachineRecord | None:
        """Return what it says of a machine, or None."""
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
    """Return a record brought up to what the hypervisor knows now.

    What has vanished by an act of labkit's is dropped. What has vanished by another hand is kept: a machine as it
    was, a snapshot among the lost.

    Args:
        found: the machines that the hypervisor was asked for, by id.
        asked: the ids of those machines of the old record that it was asked for.
        own: names of the machines that the act which ends now was about.
        others: names of those other acts are at work on: they write down themselves what came of them.
        removed: the ids of the machines that the act let the hypervisor forget; None: those of its names that are gone.
        same: whether two records tell of one snapshot: a name may be given again to another.
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
            kept[machine.id] = machine  # a name may be another machine's by now
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
