"""Clones that go on from a snapshot's memory instead of being off at first: what that takes, and when it is refused.

Knows: the model, steps. Must not know: libvirt, files, how the disks of clones are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.language import _, ngettext
from labkit.model.machine import Accelerator, MachineSpec
from labkit.model.mapped import files_beside
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, Identity, Mapping
from labkit.plans.memory_excuses import why_not_from_memory
from labkit.plans.naming import free_memory_paths
from labkit.plans.refusal import Refusal
from labkit.plans.steps import CopyMemory, DefineClones, DeleteFiles, MapMemory, Step, WakeClones
from labkit.units import MIB, format_size

EXTRA_BYTES = {Accelerator.TCG: 112 * MIB, Accelerator.KVM: 48 * MIB}
"""Bytes that a guest's process takes besides the guest's memory: QEMU, and the code it has translated."""

MAPPED_BYTES = {Accelerator.TCG: 64 * MIB, Accelerator.KVM: 32 * MIB}
"""Bytes that a guest's process takes at first if it maps its memory; it takes more only by writing."""

SECONDS_EACH = {Accelerator.TCG: 1.8, Accelerator.KVM: 0.4}
"""About how many seconds a clone takes from being off to answering under its new identity."""

MAPPED_SECONDS = {Accelerator.TCG: 0.5, Accelerator.KVM: 0.2}
"""The same if it maps its memory."""


def why_not_instant(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Refusal | None:
    """Return why clones cannot go on from the memory of the snapshot asked for."""
    off_at_first = _("Or leave out instant=True: the clones are off at first, and boot when they are started.")
    tree = state.tree_of(request.machine)
    if request.kind is CloneKind.FULL:
        return Refusal(
            why=_("Only a linked clone can run at once: its disks are ready without being copied."),
            ways_out=(_('Say kind="linked"; flatten() lets it stand alone later.'), off_at_first),
        )
    if request.snapshot is None:
        return Refusal(
            why=_("A clone that runs at once goes on from the memory that a snapshot keeps, and none is named."),
            ways_out=(_('Take one while the machine runs, and name it: snapshot="…".'), off_at_first),
        )
    snapshot = tree[request.snapshot]
    if snapshot.memory is None:
        others = [node.name for node in tree.nodes.values() if node.memory]
        return Refusal(
            why=_("{name} keeps no memory: no clone can go on from it.").format(name=snapshot.name),
            ways_out=(
                _("Name one that does: {names}.").format(names=", ".join(others))
                if others
                else _("Take a snapshot while the machine runs."),
                off_at_first,
            ),
        )
    refusal = why_not_from_memory(state, survey.snapshots, snapshot) if survey.snapshots else None
    if refusal:
        return replace(refusal, ways_out=(off_at_first,))
    return _why_no_memory(survey, request, snapshot)


def _why_no_memory(survey: CloneSurvey, request: CloneRequest, snapshot: SnapshotFacts) -> Refusal | None:
    count, mapped = len(request.clones), survey.mapping is not Mapping.NO
    needed = host_bytes(snapshot.spec, count, mapped=mapped)
    if needed <= survey.free_memory:
        return None
    fewer = max(0, survey.free_memory - host_bytes(snapshot.spec, 0, mapped=mapped)) // (
        host_bytes(snapshot.spec, 1, mapped=mapped) - host_bytes(snapshot.spec, 0, mapped=mapped)
    )
    return Refusal(
        why=ngettext(
            "{count} running guest takes about {needed} of the host's memory, of which {free} is free.",
            "{count} running guests take about {needed} of the host's memory, of which {free} is free.",
            count,
        ).format(count=count, needed=format_size(needed), free=format_size(survey.free_memory)),
        ways_out=(
            _("Make at most {count}.").format(count=fewer) if fewer else _("Stop other machines first."),
            _("Or leave out instant=True, and start them one after the other."),
        ),
    )


def host_bytes(spec: MachineSpec, count: int, *, mapped: bool) -> int:
    """Return about how much of the host's memory clones take once they have gone on.

    Args:
        mapped: whether they map their memory, so that it is there once, and besides only what each writes.
    """
    if mapped:
        return spec.memory + count * MAPPED_BYTES[spec.accelerator]
    return count * (spec.memory + EXTRA_BYTES[spec.accelerator])


def with_waking(state: LabState, survey: CloneSurvey, request: CloneRequest, steps: Iterable[Step]) -> list[Step]:
    """Return the steps that make clones; for instant clones, also the steps that copy the memory and wake them."""
    source, tree = state.machines[request.machine], state.tree_of(request.machine)
    snapshot = tree.nodes.get(request.snapshot or "")
    if not request.instant or snapshot is None or snapshot.memory is None:
        return [*steps]
    sizes = (survey.snapshots.memory_bytes if survey.snapshots else None) or {}
    size = sizes.get(snapshot.memory, 0)
    copy = next(iter(free_memory_paths(state, f"{request.names[0]}.waking")))
    mapped = survey.mapping is not Mapping.NO
    made = list(steps)
    specs = next(step.specs for step in made if isinstance(step, DefineClones))
    wake = WakeClones(
        source_id=source.id,
        snapshot=snapshot.name,
        memory=snapshot.memory,
        copy=copy,
        mapped=mapped,
        specs=specs,
        renew=request.identity is Identity.NEW,
        host_bytes=host_bytes(snapshot.spec, len(specs), mapped=mapped),
        seconds=len(specs) * (MAPPED_SECONDS if mapped else SECONDS_EACH)[snapshot.spec.accelerator],
    )
    if survey.mapping is Mapping.READY:
        return [*made, wake]
    if mapped:
        return [_mapping(state, snapshot.memory, size), *made, wake]
    copying = CopyMemory(source=snapshot.memory, target=copy, bytes=size)
    return [copying, *made, wake, DeleteFiles(paths=(copy,), bytes=size)]


def _mapping(state: LabState, memory: str, size: int) -> MapMemory:
    """The step that makes the files to map a memory; existing ones are replaced, since they are not what they were."""
    pages, devices = files_beside([memory])
    return MapMemory(memory=memory, pages=pages, devices=devices, bytes=size, anew=bool(state.beside([memory])))


def notes_of_mapping(state: LabState, survey: CloneSurvey, request: CloneRequest) -> list[str]:
    """Return the notes on how clones get the memory that they go on from."""
    snapshot = state.snapshots[request.machine][request.snapshot or ""]
    if survey.mapping is Mapping.NO:
        return [_("The memory of {name} cannot be mapped here: each clone reads all of it.").format(name=snapshot.name)]
    if survey.mapping is Mapping.CAN_BE_MADE:
        sentence = _("The memory of {name} is kept a second time, for its clones to share, until it is deleted.")
        return [sentence.format(name=snapshot.name)]
    return []
