"""`verify_restore`: does a restore do what the lecture says? Readable, for notebooks and graders.

Knows: the model, and hashes of images' content. Must not know: how a restore is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import BadInput, NotFound
from labkit.experiments.given import check_machine
from labkit.language import _
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.storage.files import host_errors
from labkit.storage.plain import opened_plain
from labkit.units import Shown, check_path, check_text

if TYPE_CHECKING:
    from labkit.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What a restore is judged by: the lab's state, and the hashes of the images that a machine's snapshots keep."""

    state: LabState
    machine: str
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the lecture says of a restore, sentence by sentence, and whether each holds."""

    configuration_restored: bool
    running_state_restored: bool
    discarded_images_gone: bool
    snapshot_images_are_parents: bool
    parents_unchanged: bool

    def __bool__(self) -> bool:
        """Whether all sentences hold."""
        return all(getattr(self, name) for name in self.__slots__)

    def __repr__(self) -> str:
        sentences = (
            (self.configuration_restored, _("The configuration is the snapshot's.")),
            (self.running_state_restored, _("The running state is the snapshot's.")),
            (self.discarded_images_gone, _("The images of the discarded state are gone.")),
            (self.snapshot_images_are_parents, _("The snapshot's images are the parents of the active ones.")),
            (self.parents_unchanged, _("No frozen image has changed.")),
        )
        return "\n".join(f"{'✓' if holds else '✗'} {sentence}" for holds, sentence in sentences)


def witness(machine: Machine) -> Witness:
    """Return the present state, with a hash of each frozen image of the machine's snapshots."""
    check_machine(machine, "machine")
    state = machine.lab.state
    name = machine.name
    paths = sorted({disk.path for node in state.snapshots.get(name, {}).values() for disk in node.disks})
    return Witness(state=state, machine=name, hashes={path: hash_file(Path(path)) for path in paths})


def verify_restore(before: Witness, after: Witness, snapshot: str) -> Verdict:
    """Compare the states before and after a restore with what the lecture says.

    Args:
        before, after: what `witness` returned before and after the restore. snapshot: the restored snapshot's name.

    Raises:
        BadInput: they are not witnesses. NotFound: there was no such snapshot, or the machine is gone.
    """
    for what, value in (("before", before), ("after", after)):
        if not isinstance(value, Witness):
            raise BadInput(
                _("{what}={value!r} is no witness.").format(what=what, value=Shown(value)),
                _("Give what witness(vm) returns, once before and once after the restore."),
            )
    tree: Mapping[str, SnapshotFacts] = before.state.snapshots.get(before.machine, {})
    name = check_text(snapshot, what="snapshot")
    if name not in tree or after.machine not in after.state.machines:
        raise NotFound(
            _("{machine} had no snapshot {name!r}, or is gone.").format(machine=before.machine, name=Shown(name)),
            _("It had: {names}.").format(names=", ".join(tree) or _("none yet")),
        )
    point: SnapshotFacts = tree[name]
    machine: MachineFacts = after.state.machines[after.machine]
    active = {disk.target: disk.path for disk in machine.spec.disks}
    back = {disk.name for disk in point.disks}
    old = {disk.path for disk in before.state.machines[before.machine].spec.disks if disk.name in back}
    kept = after.state.kept
    return Verdict(
        configuration_restored=_configuration(machine.spec) == _configuration(point.spec),
        running_state_restored=machine.state in _expected(point),
        discarded_images_gone=all(path in kept or not Path(path).exists() for path in old),
        snapshot_images_are_parents=all(
            disk.target in active and _backing(after.state, active[disk.target]) == disk.path for disk in point.disks
        ),
        parents_unchanged=all(after.hashes.get(path) == digest for path, digest in before.hashes.items()),
    )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        BadInput: it is not a path. HostTrouble: it cannot be read.
    """
    place = check_path(path, what="path")
    with host_errors(place), opened_plain(place) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _backing(state: LabState, path: str) -> str | None:
    image = state.images.get(path)
    return image.backing if image else None


def _configuration(spec: MachineSpec) -> MachineSpec:
    return replace(spec, disks=tuple(replace(disk, path="", format=spec.disks[0].format) for disk in spec.disks))


def _expected(point: SnapshotFacts) -> tuple[MachineState, ...]:
    if not point.has_memory:
        return (MachineState.OFF,)
    return (MachineState.PAUSED,) if point.kind == "paused" else (MachineState.RUNNING, MachineState.SAVED)
