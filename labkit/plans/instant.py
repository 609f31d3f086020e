"""Clones that go on from a snapshot's memory instead of being off at first: what that takes, and when it is refused.

Knows: the model, steps. Must not know: libvirt, files, how the disks of clones are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.language import _, ngettext
from labkit.model.machine import Accelerator, MachineSpec
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, Identity
from labkit.plans.memory_excuses import why_not_from_memory
from labkit.plans.naming import free_memory_paths
from labkit.plans.plan import Refusal
from labkit.plans.steps import CopyMemory, DefineClones, DeleteFiles, Step, WakeClones
from labkit.units import MIB, format_size

EXTRA_BYTES = {Accelerator.TCG: 112 * MIB, Accelerator.KVM: 48 * MIB}
"""Bytes that a guest's process takes besides the guest's memory: QEMU, and the code it has translated."""

SECONDS_EACH = {Accelerator.TCG: 1.8, Accelerator.KVM: 0.4}
"""About how many seconds a clone takes from being off to answering under its new identity."""


def why_not_instant(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Refusal | None:
    """Return why clones cannot go on from the memory of the snapshot asked for."""
    born_off = _("Or leave out instant=True: the clones are born off, and boot.")
    tree = state.snapshots.get(request.machine, SnapshotTree())
    if request.kind is CloneKind.FULL:
        return Refusal(
            why=_("Only a linked clone can run at once: its disks are ready without being copied."),
            ways_out=(_('Say kind="linked"; flatten() lets it stand alone later.'), born_off),
        )
    if request.snapshot is None:
        return Refusal(
            why=_("A clone that runs at once goes on from the memory that a snapshot keeps, and none is named."),
            ways_out=(_('Take one while the machine runs, and name it: snapshot="…".'), born_off),
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
                born_off,
            ),
        )
    refusal = why_not_from_memory(state, survey.snapshots, snapshot) if survey.snapshots else None
    if refusal:
        return replace(refusal, ways_out=(born_off,))
    return _why_no_memory(survey, request, snapshot)


def _why_no_memory(survey: CloneSurvey, request: CloneRequest, snapshot: SnapshotFacts) -> Refusal | None:
    count, each = len(request.clones), host_bytes(snapshot.spec)
    if count * each <= survey.free_memory:
        return None
    fewer = survey.free_memory // each
    return Refusal(
        why=ngettext(
            "{count} running guest takes about {needed} of the host's memory, of which {free} is free.",
            "{count} running guests take about {needed} of the host's memory, of which {free} is free.",
            count,
        ).format(count=count, needed=format_size(count * each), free=format_size(survey.free_memory)),
        ways_out=(
            _("Make at most {count}.").format(count=fewer) if fewer else _("Stop other machines first."),
            _("Or leave out instant=True, and start them one after the other."),
        ),
    )


def host_bytes(spec: MachineSpec) -> int:
    """Return about how much of the host's memory a running guest takes at most."""
    return spec.memory + EXTRA_BYTES[spec.accelerator]


def with_waking(state: LabState, survey: CloneSurvey, request: CloneRequest, steps: Iterable[Step]) -> list[Step]:
    """Return the steps that make clones; for instant clones, also the steps that copy the memory and wake them."""
    source, tree = state.machines[request.machine], state.snapshots.get(request.machine, SnapshotTree())
    snapshot = tree.nodes.get(request.snapshot or "")
    if not request.instant or snapshot is None or snapshot.memory is None:
        return [*steps]
    sizes = (survey.snapshots.memory_bytes if survey.snapshots else None) or {}
    size = sizes.get(snapshot.memory, 0)
    copy = next(iter(free_memory_paths(state, f"{request.names[0]}.waking")))
    made = list(steps)
    specs = next(step.specs for step in made if isinstance(step, DefineClones))
    wake = WakeClones(
        source_id=source.id,
        snapshot=snapshot.name,
        memory=snapshot.memory,
        copy=copy,
        specs=specs,
        renew=request.identity is Identity.NEW,
        host_bytes=len(specs) * host_bytes(snapshot.spec),
        seconds=len(specs) * SECONDS_EACH[snapshot.spec.accelerator],
    )
    copying = CopyMemory(source=snapshot.memory, target=copy, bytes=size)
    return [copying, *made, wake, DeleteFiles(paths=(copy,), bytes=size)]
