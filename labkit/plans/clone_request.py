"""The request for clones, and what follows from it: the names, ids and disks of the clones.

Knows: the model. Must not know: how the content of disks is copied, what is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.model.image import Format
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.plans.naming import free_console_log, free_disk_name, next_image_path
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.plans.steps import DefineClones


class CloneKind(StrEnum):
    """What a clone's disks are."""

    FULL = "full"
    """Copies; the clone stands alone."""
    LINKED = "linked"
    """Differencing images on a snapshot of the original; the clone stands on that."""


class Mapping(StrEnum):
    """Whether clones can map the memory that they go on from, and so share what they have not written."""

    READY = "ready"
    """The files to map it exist."""
    CAN_BE_MADE = "can be made"
    NO = "no"
    """Each clone reads it, as any other guest does."""


class Identity(StrEnum):
    """Who the guest of a clone, or of an imported machine, takes itself for."""

    NEW = "new"
    KEEP = "keep"
    """A twin: it takes itself for the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClone:
    """A clone's name and the ids drawn for it."""

    name: str
    id: str
    genid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneRequest:
    """Clones as asked for.

    Attributes:
        machine: the original's name. clones: one or many. snapshot: what they are cloned from; None: the current state.
        snapshots: whether a full clone gets the whole tree of snapshots.
        reflink: whether copies share blocks with the original where the file system can.
        many: whether `count` was given, even if it was 1.
        instant: whether they go on from the snapshot's memory at once, instead of being off at first.
    """

    machine: str
    clones: tuple[NewClone, ...]
    kind: CloneKind = CloneKind.FULL
    snapshot: str | None = None
    identity: Identity = Identity.NEW
    snapshots: bool = False
    reflink: bool = True
    many: bool = False
    instant: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the clones."""
        return tuple(clone.name for clone in self.clones)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneSurvey:
    """What had to be measured for a plan about clones.

    Attributes:
        free_bytes: free on the file system of the lab's folder. host_memory: bytes this host has.
        quiesce: whether the guest's agent answers. reflinks: whether the file system can share blocks.
        changed: frozen images that another tool has written to. deepest: how many layers this libvirt can start.
        free_memory: bytes of memory that this host can give now. snapshots: what was measured of the original's memory
            files, for clones that go on from one. mapping: whether they can map it.
    """

    free_bytes: int
    host_memory: int
    quiesce: bool = False
    reflinks: bool = False
    changed: frozenset[str] = frozenset()
    deepest: int = 190
    free_memory: int = 0
    snapshots: SnapshotSurvey | None = None
    mapping: Mapping = Mapping.NO


def origin_of(state: LabState, request: CloneRequest) -> MachineSpec:
    """Return the configuration that is cloned: the snapshot's, or the machine's own."""
    if request.snapshot is not None:
        return state.snapshots[request.machine][request.snapshot].spec
    return state.machines[request.machine].spec


def name_disks(
    state: LabState, disks: Sequence[DiskSpec], formats: Sequence[Format], request: CloneRequest
) -> list[tuple[DiskSpec, ...]]:
    """Return the disks of each clone: named after it, each with its first image."""
    taken: list[str] = []
    clones = []
    for clone in request.names:
        named = []
        for disk, format in zip(disks, formats, strict=True):
            name = free_disk_name(state, f"{clone}.{_own_part(disk, request.machine)}", taken)
            taken.append(name)
            path = next_image_path(state, name, format)
            named.append(DiskSpec(name=name, target=disk.target, path=path, format=format))
        clones.append(tuple(named))
    return clones


def bear(
    state: LabState, request: CloneRequest, origin: MachineSpec, disks: Iterable[tuple[DiskSpec, ...]]
) -> tuple[MachineSpec, ...]:
    """Return each clone's spec: the origin's configuration, with the clone's own name, ids, console and disks."""
    keep = request.identity is Identity.KEEP
    logs = [free_console_log(state, name) for name in request.names]
    return tuple(
        replace(
            origin,
            name=clone.name,
            id=clone.id,
            genid=origin.genid if keep else clone.genid,
            disks=own,
            boot=origin.boot.keeping_identity(keep=keep),
            console_log=log if origin.console_log else None,
        )
        for clone, own, log in zip(request.clones, disks, logs, strict=True)
    )


def define(state: LabState, request: CloneRequest, specs: tuple[MachineSpec, ...]) -> DefineClones:
    """Return the step that defines the clones."""
    source = state.machines[request.machine]
    return DefineClones(
        source_id=source.id,
        snapshot=request.snapshot,
        specs=specs,
        many=request.many,
    )


def _own_part(disk: DiskSpec, machine: str) -> str:
    """A disk's name without its machine's: "vda" of "web.vda", "data" of "data" and of "web.data"."""
    if disk.name.endswith(f".{disk.target}"):
        return disk.target
    return disk.name.removeprefix(f"{machine}.")
