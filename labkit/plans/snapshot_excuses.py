"""Why an act on snapshots is refused, or keeps less than asked: one pure function for each.

Knows: the model. Must not know: which steps an act has.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.language import _, ngettext
from labkit.model.disk import chain, image_number
from labkit.model.image import Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans.broken import why_broken
from labkit.plans.disk_excuses import SPACE_MARGIN, why_internal
from labkit.plans.refusal import Refusal
from labkit.plans.shifted import why_shifted
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.units import format_size


def why_not_take(
    state: LabState, survey: SnapshotSurvey, facts: MachineFacts, tree: SnapshotTree, name: str
) -> Refusal | None:
    """Return why a snapshot cannot be taken."""
    needed = facts.spec.memory if facts.is_active else 0
    depth = max((len(chain(state.images, disk.path)) for disk in facts.spec.disks), default=0)
    served = [disk.name for disk in facts.spec.disks if disk.served]
    if served:
        return Refusal(
            why=_("{disk} is served by another program, which cannot be told to freeze it.").format(disk=served[0]),
            ways_out=(_("Detach it first."),),
        )
    if facts.state is MachineState.SAVED:
        return Refusal(
            why=_("{machine} is saved: its saved memory fits only the images it has.").format(machine=facts.name),
            ways_out=(_("Start it first; then its running state is in the snapshot."),),
        )
    if not facts.spec.disks:
        return Refusal(
            why=_("{machine} has no disks: there is nothing to freeze.").format(machine=facts.name),
            ways_out=(_("Attach a disk first: vm.attach(…)."),),
        )
    if refusal := (
        _why_foreign(tree)
        or why_broken(state, facts.name, facts.spec.disks, survey.changed)
        or _why_internal(state, facts)
    ):
        return refusal
    if depth >= survey.deepest:
        return _refuse_depth(facts.name, depth)
    if needed + SPACE_MARGIN > survey.free_bytes:
        return _refuse_full(facts, survey.free_bytes)
    return why_checkpoints(survey, facts) or why_not_named(tree, name)


def why_not_named(tree: SnapshotTree, name: str | None) -> Refusal | None:
    """Return why a snapshot cannot have a name: it is taken."""
    if name not in tree:
        return None
    return Refusal(
        why=_("There is already a snapshot {name!r}.").format(name=name), ways_out=(_("Choose another name."),)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A disk's layer of a format with which memory cannot be saved."""

    disk: str
    format: Format


def find_unsavable(state: LabState, facts: MachineFacts) -> Layer | None:
    """Return the first layer of a machine's disks with which libvirt cannot save its memory, or None."""
    layers = ((disk.name, image.format) for disk in facts.spec.disks for image in chain(state.images, disk.path))
    return next((Layer(disk=disk, format=format) for disk, format in layers if not format.can_be_saved), None)


def why_only_disks(state: LabState, facts: MachineFacts) -> str | None:
    """Return why the memory of a running machine cannot be kept, or None."""
    layer = find_unsavable(state, facts)
    if layer is None:
        return None
    return _(
        "Disks only, as after a power cut: with a layer in {format} ({disk}) the hypervisor "
        "cannot keep memory. Convert the disk to qcow2 to keep it."
    ).format(format=layer.format, disk=layer.disk)


def why_not_restore(
    state: LabState,
    survey: SnapshotSurvey,
    facts: MachineFacts,
    snapshot: SnapshotFacts,
) -> Refusal | None:
    """Return why a machine's disks cannot come back to a snapshot; for its memory see `memory_excuses`."""
    if refusal := why_checkpoints(survey, facts):
        return refusal
    depth = max((len(chain(state.images, disk.path)) for disk in snapshot.disks), default=0)
    if depth >= survey.deepest:
        return _refuse_depth(facts.name, depth)
    return (
        why_shifted(state, facts.name, [snapshot])
        or why_broken(state, facts.name, snapshot.disks, survey.changed)
        or _why_disk_in_use(state, facts, snapshot)
        or _why_internal(state, facts)
    )


def _why_internal(state: LabState, facts: MachineFacts) -> Refusal | None:
    active = (state.images.get(disk.path) for disk in facts.spec.disks)
    return why_internal(image for image in active if image is not None)


def _refuse_full(facts: MachineFacts, free: int) -> Refusal:
    if not facts.is_active:
        return Refusal(
            why=_("The host's disk has {free} free; {margin} stay as a margin when a snapshot is taken.").format(
                free=format_size(free), margin=format_size(SPACE_MARGIN)
            ),
            ways_out=(_("Free space on the host, or delete machines you no longer need."),),
        )
    return Refusal(
        why=_("The memory of {machine} may need {needed}, and the host's disk has {free} free.").format(
            machine=facts.name, needed=format_size(facts.spec.memory), free=format_size(free)
        ),
        ways_out=(_("Free space on the host, or stop the machine: off, a snapshot keeps no memory."),),
    )


def _refuse_depth(machine: str, depth: int) -> Refusal:
    return Refusal(
        why=ngettext(
            "A disk of {machine} has {count} layer: with one more it could not start.",
            "A disk of {machine} has {count} layers: with one more it could not start.",
            depth,
        ).format(machine=machine, count=depth),
        ways_out=(
            _("Delete snapshots in between: their layers are merged."),
            _("Or make a disk that stands alone: disk.convert(…)."),
        ),
    )


def is_same_disk(images: Mapping[str, ImageFacts], one: DiskSpec, other: DiskSpec) -> bool:
    """Whether two images of a machine are the same disk at different times: same name, same base.

    If another tool has named an image of the disk in its own way, the disk is known by its target.
    """
    bases = [[image.path for image in chain(images, disk.path)][-1:] for disk in (one, other)]
    by_hand = any(image_number(disk.path) < 0 for disk in (one, other))
    named = one.name == other.name or (by_hand and one.target == other.target)
    return bases[0] == bases[1] and named


def _why_disk_in_use(state: LabState, facts: MachineFacts, snapshot: SnapshotFacts) -> Refusal | None:
    """Return why a disk of a snapshot cannot come back: one of its name is in use, and cannot be moved aside."""
    for disk in snapshot.disks:
        holder = state.disks[disk.name].machine if disk.name in state.disks else None
        if holder is None or any(is_same_disk(state.readable, mine, disk) for mine in facts.spec.disks):
            continue
        alike = any((mine.name, mine.target) == (disk.name, disk.target) for mine in facts.spec.disks)
        why = (
            _(
                "{name} needs its disk {disk}, and another disk of that name is attached to {machine}, or else the "
                "same one, which another program has let stand alone."
            )
            if alike
            else _("{name} needs its disk {disk}, and another disk of that name is attached to {machine}.")
        )
        return Refusal(
            why=why.format(name=snapshot.name, disk=disk.name, machine=holder),
            ways_out=(_("Detach that one first; it keeps its content under a new name."),),
        )
    return None


def why_not_there(facts: MachineFacts, tree: SnapshotTree, name: str) -> Refusal | None:
    """Return why there is nothing to work on: there is no such snapshot, or labkit cannot work with one of the tree."""
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


def why_checkpoints(survey: SnapshotSurvey, facts: MachineFacts) -> Refusal | None:
    """Return why no image of a machine is frozen or merged: another tool notes what is written to them."""
    if not survey.checkpoints:
        return None
    names = ", ".join(survey.checkpoints)
    return Refusal(
        why=_(
            "{machine} has checkpoints of another tool ({names}): it notes inside the images what was written since, "
            "and would lose count when images freeze or merge."
        ).format(machine=facts.name, names=names),
        ways_out=(
            _("Delete them first: {command}.").format(
                command="; ".join(
                    shlex.join(("virsh", "checkpoint-delete", facts.spec.domain_name, point))
                    for point in survey.checkpoints
                )
            ),
        ),
    )
