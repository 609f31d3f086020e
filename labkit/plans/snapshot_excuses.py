"""Why an act on snapshots is refused, or keeps less than asked: one pure function for each.

Knows: the model. Must not know: which steps an act has.
"""

from __future__ import annotations

import posixpath

from labkit.language import _
from labkit.model.disk import chain
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans.disk_excuses import SPACE_MARGIN
from labkit.plans.plan import Refusal
from labkit.units import format_size


def why_not_take(
    state: LabState, facts: MachineFacts, tree: SnapshotTree, name: str, *, free_bytes: int, deepest: int
) -> Refusal | None:
    """Return why a snapshot cannot be taken."""
    needed = facts.spec.memory if facts.is_active else 0
    depth = max((len(chain(state.images, disk.path)) for disk in facts.spec.disks), default=0)
    missing = [disk.path for disk in facts.spec.disks if disk.path not in state.images]
    if facts.state is MachineState.SAVED:
        return Refusal(
            why=_("{machine} is saved: its saved memory fits only the images it has.").format(machine=facts.name),
            ways_out=(_("Start it first; then its running state is in the snapshot."),),
        )
    if missing:
        return Refusal(
            why=_("The image {file} of {machine} is not in the lab.").format(
                file=posixpath.basename(missing[0]), machine=facts.name
            ),
            ways_out=(_("Type ./lab doctor."),),
        )
    if depth >= deepest:
        return Refusal(
            why=_("A disk of {machine} has {count} layers: with one more it could not start.").format(
                machine=facts.name, count=depth
            ),
            ways_out=(_("Delete snapshots in between, or make a disk that stands alone: disk.convert(…)."),),
        )
    if needed + SPACE_MARGIN > free_bytes:
        return Refusal(
            why=_("The memory of {machine} may need {needed}, and the host's disk has {free} free.").format(
                machine=facts.name, needed=format_size(needed), free=format_size(free_bytes)
            ),
            ways_out=(_("Free space on the host, or stop the machine: off, a snapshot keeps no memory."),),
        )
    return _why_foreign(tree) or why_not_named(tree, name)


def why_not_named(tree: SnapshotTree, name: str | None) -> Refusal | None:
    """Return why a snapshot cannot have a name: it is taken."""
    if name not in tree:
        return None
    return Refusal(
        why=_("There is already a snapshot {name!r}.").format(name=name), ways_out=(_("Choose another name."),)
    )


def why_only_disks(state: LabState, facts: MachineFacts) -> str | None:
    """Return why the memory of a running machine cannot be kept, or None."""
    for disk in facts.spec.disks:
        for image in chain(state.images, disk.path):
            if not image.format.can_be_saved:
                return _(
                    "Disks only, as after a power cut: with a layer in {format} ({disk}) the hypervisor "
                    "cannot keep memory. Convert the disk to qcow2 to keep it."
                ).format(format=image.format, disk=disk.name)
    return None


def why_not_restore(
    state: LabState, facts: MachineFacts, tree: SnapshotTree, name: str, *, save_current: str | None, memory: bool
) -> Refusal | None:
    """Return why a machine cannot come back to a snapshot."""
    refusal = why_not_delete(facts, tree, name) or (why_not_named(tree, save_current) if save_current else None)
    if refusal:
        return refusal
    snapshot = tree[name]
    if snapshot.excuse:
        return Refusal(why=_("{name} cannot be restored: {why}").format(name=name, why=snapshot.excuse))
    missing = [disk.path for disk in snapshot.disks if disk.path not in state.images]
    if missing:
        return Refusal(
            why=_("The image {file} that {name} needs is gone.").format(file=posixpath.basename(missing[0]), name=name),
            ways_out=(_("Bring the file back, or delete the snapshot."),),
        )
    if memory and snapshot.memory and snapshot.memory not in state.memories:
        return Refusal(
            why=_("The memory file {file} of {name} is gone.").format(
                file=posixpath.basename(snapshot.memory), name=name
            ),
            ways_out=(_("Restore its disks only: restore({name!r}, memory=False).").format(name=name),),
        )
    if memory and snapshot.memory and snapshot.spec.accelerator is not facts.spec.accelerator:
        return Refusal(
            why=_("{name} was taken with {then}, this machine runs with {now}: its memory does not fit.").format(
                name=name, then=snapshot.spec.accelerator, now=facts.spec.accelerator
            ),
            ways_out=(_("Restore its disks only: restore({name!r}, memory=False).").format(name=name),),
        )
    return None


def why_not_delete(facts: MachineFacts, tree: SnapshotTree, name: str) -> Refusal | None:
    """Return why a snapshot cannot be worked on: there is none, or others are of a foreign kind."""
    if name not in tree:
        known = ", ".join(tree) or _("none yet")
        return Refusal(
            why=_("{machine} has no snapshot {name!r}.").format(machine=facts.name, name=name),
            ways_out=(_("There are: {names}.").format(names=known),),
        )
    return _why_foreign(tree)


def _why_foreign(tree: SnapshotTree) -> Refusal | None:
    foreign = next((node for node in tree.nodes.values() if node.excuse), None)
    if foreign is None:
        return None
    return Refusal(
        why=_("{name} is not a snapshot of labkit's kind. {why}").format(name=foreign.name, why=foreign.excuse),
        ways_out=(_("Delete it with the tool that took it (virsh snapshot-delete), then do this again."),),
    )
