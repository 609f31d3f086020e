"""`verify_restore`: does a restore do what the lecture says? Readable, for notebooks and graders.

The answers come from the world, never from a plan: definitions, the host's process, what the guest says, and the files
in the lab's folders.

Knows: the model, two witnesses. Must not know: how a restore is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import BadInput, NotFound
from labkit.experiments.witness import Witness
from labkit.language import _
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.usage import GuestProcess
from labkit.units import Shown, check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCheck:
    """What the lecture says of a restore, sentence by sentence, and whether each holds.

    Of the running state it is None where nothing proves either: then it cannot be told.
    """

    configuration_restored: bool
    running_state_restored: bool | None
    discarded_images_gone: bool
    snapshot_images_are_parents: bool
    parents_unchanged: bool

    def __bool__(self) -> bool:
        """Whether all sentences are shown to hold."""
        return all(getattr(self, name) for name in self.__slots__)

    def __repr__(self) -> str:
        sentences = (
            (self.configuration_restored, _("The configuration is the snapshot's.")),
            (self.running_state_restored, _("The running state is the snapshot's.")),
            (self.discarded_images_gone, _("The images of the discarded state are gone.")),
            (self.snapshot_images_are_parents, _("The snapshot's images are the parents of the active ones.")),
            (self.parents_unchanged, _("No frozen image has changed.")),
        )
        cannot_tell = _("cannot tell:")
        marks = {True: "✓", False: "✗", None: f"? {cannot_tell}"}
        return "\n".join(f"{marks[holds]} {sentence}" for holds, sentence in sentences)


def verify_restore(before: Witness, after: Witness, snapshot: str) -> RestoreCheck:
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
    return RestoreCheck(
        configuration_restored=_configuration(machine.spec) == _configuration(point.spec),
        running_state_restored=_is_running_state(before, after, point),
        discarded_images_gone=all(path in kept or not Path(path).exists() for path in old),
        snapshot_images_are_parents=all(
            disk.target in active and _backing(after.state, active[disk.target]) == disk.path for disk in point.disks
        ),
        parents_unchanged=all(after.hashes.get(path) == digest for path, digest in before.hashes.items()),
    )


def _backing(state: LabState, path: str) -> str | None:
    image = state.images.get(path)
    return image.backing if image else None


def _configuration(spec: MachineSpec) -> MachineSpec:
    return replace(spec, disks=tuple(replace(disk, path="", format=spec.disks[0].format) for disk in spec.disks))


def _is_running_state(before: Witness, after: Witness, point: SnapshotFacts) -> bool | None:
    """Whether the running state is the snapshot's; None: nothing proves either."""
    state = after.state.machines[after.machine].state
    if state not in _expected(point):
        return False
    if state is MachineState.OFF:
        return True
    if after.process is None:
        return None  # saved: what the guest goes on with shows when it is started
    if not after.process.is_resumed or _is_same_process(before.process, after.process):
        return False  # it booted, or it is the guest of before
    if point.name in after.booted_in:
        return True
    # One that stands in no memory proves nothing, not even if it is the one of before: whoever goes on from a snapshot
    # draws the same random numbers again.
    return False if after.booted_in else None


def _is_same_process(one: GuestProcess | None, other: GuestProcess | None) -> bool:
    return one is not None and other is not None and (one.pid, one.began) == (other.pid, other.began)


def _expected(point: SnapshotFacts) -> tuple[MachineState, ...]:
    if not point.has_memory:
        return (MachineState.OFF,)
    return (MachineState.PAUSED,) if point.kind == "paused" else (MachineState.RUNNING, MachineState.SAVED)
