"""Plans to delete a snapshot or a branch; anonymous layers are merged up where that is cheap.

Knows: the model, steps, what files are still needed. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from labkit.language import _
from labkit.model.disk import chain, disk_name
from labkit.model.image import Format, ImageFacts
from labkit.model.lineage import read_lineage
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.plans.broken import why_broken_image
from labkit.plans.guard import may_merge, why_not_delete_snapshots
from labkit.plans.plan import Plan
from labkit.plans.reclaim import find_unneeded, own_disks, reclaim
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot.common import snapshot_plan
from labkit.plans.snapshot_excuses import why_checkpoints, why_not_there
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.plans.steps import DeleteFiles, ForgetSnapshot, MergeLayer, Step
from labkit.units import MIB, format_size

MERGE_BOUND = 256 * MIB
"""Bytes up to which an anonymous layer is merged away without being asked for."""


class Merge(StrEnum):
    """Which anonymous layers are merged up."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def plan_delete(
    state: LabState, survey: SnapshotSurvey, machine: str, name: str, *, branch: bool = False, merge: str = "auto"
) -> Plan:
    """Plan to delete a snapshot (or it and all after it); the content of every other state stays as it is.

    Args:
        merge: which anonymous layers are merged up: "auto": those where that is cheap; "always": also those that are
            large or have several children, which copies or adds bytes; "never".
    """
    facts, tree = state.machines[machine], state.tree_of(machine)
    refusal = why_not_there(facts, tree, name) or why_checkpoints(survey, facts)
    names = tree.branch(name) if branch and refusal is None else (name,)
    refusal = refusal or why_not_delete_snapshots(state, machine, names)
    if refusal:
        return snapshot_plan("delete", state, machine, name, refusal=refusal)
    gone = [tree[each] for each in names]
    heir = tree[name].parent if tree.current in names else None
    forgets = [
        ForgetSnapshot(
            machine_id=facts.id,
            domain=facts.spec.domain_name,
            snapshot=each,
            then_current=heir,
            children=tuple(child for child in tree.children(each) if child not in names),
            current_child=tree.current if tree.current in tree.children(each) else None,
        )
        for each in reversed(names)
    ]
    kept = {disk.path for node in tree.nodes.values() if node.name not in names for disk in node.disks}
    freed = {disk.path for node in gone for disk in node.disks} - kept
    roots = state.roots - freed | state.claimed | {disk.path for disk in facts.spec.disks}
    merges, notes = ([], []) if merge == Merge.NEVER else _merges(state, facts, roots, always=merge == Merge.ALWAYS)
    if merge != Merge.NEVER and (refusal := _why_not_merge(state, survey, machine, merges, freed)):
        return snapshot_plan("delete", state, machine, name, refusal=refusal)
    dead = find_unneeded(state, roots, own_disks(facts, tree), machine=facts.id)
    memories = [node.memory for node in gone if node.memory]
    memories += state.beside(memories)
    clean_ups = [_deletion(state, survey, dead, memories)] if dead or memories else []
    return snapshot_plan("delete", state, machine, name, steps=[*forgets, *clean_ups, *merges], notes=notes)


def _deletion(state: LabState, survey: SnapshotSurvey, dead: Iterable[str], memories: Iterable[str]) -> DeleteFiles:
    sizes = survey.memory_bytes or {}
    paths = [file for path in dead for file in state.images[path].files]
    freed = sum(state.images[path].allocated for path in dead) + sum(sizes.get(path, 0) for path in memories)
    return DeleteFiles(paths=(*paths, *memories), bytes=freed)


def _merges(
    state: LabState, facts: MachineFacts, roots: frozenset[str], *, always: bool
) -> tuple[list[Step], list[str]]:
    """Merge anonymous layers up into their children, the topmost first; also return notes about those that stay."""
    images = dict(state.images)
    steps: list[Step] = []
    notes: list[str] = []
    refused: set[str] = set()
    lineage = read_lineage(state)
    orphans = (set(images) - state.alive).union(state.aside, state.remembered())  # not ours to rewrite
    while True:
        work = reclaim(images, roots | orphans)
        pairs = [*((layer, (child,)) for layer, child in work.anonymous), *work.shared]
        mine = (pair for pair in pairs if facts.name in lineage.users.get(pair[0], ()))
        pair = next((pair for pair in mine if pair[0] not in refused), None)
        if pair is None:
            return steps, notes
        layer, children = images[pair[0]], [images[path] for path in pair[1]]
        only_mine = may_merge(lineage, facts.name, pair[0], *pair[1]) and orphans.isdisjoint(pair[1])
        wanted = only_mine and _is_wanted(layer, children, always)
        merges = _merge_steps(state, facts, images, layer, children) if wanted else None
        if merges is None:
            refused.add(layer.path)
            notes.append(_why_it_stays(layer, children, always=always))
            continue
        steps += merges
        images |= {child.path: replace(child, backing=layer.backing) for child in children}
        del images[layer.path]


def _why_not_merge(
    state: LabState, survey: SnapshotSurvey, machine: str, merges: Iterable[Step], freed: Iterable[str]
) -> Refusal | None:
    """Return why layers cannot be merged: an image that would be read is not what it was.

    The images below count too: only what differs from them is moved up.

    Args:
        freed: the images that no snapshot keeps any more: what stands on them must be whole all the way down.
    """
    above = [(image, frozenset[str]()) for image in state.images.values() if image.backing in set(freed)]
    merged = [(state.images[step.child], survey.changed) for step in merges if isinstance(step, MergeLayer)]
    refusals = (why_broken_image(state, machine, child, changed) for child, changed in (*above, *merged))
    refusal = next(filter(None, refusals), None)
    if refusal is None:
        return None
    return replace(refusal, for_calls=(_('Or leave the layers unmerged, which reads nothing: merge="never".'),))


def _is_wanted(layer: ImageFacts, children: Sequence[ImageFacts], always: bool) -> bool:
    return always or (len(children) == 1 and layer.allocated <= MERGE_BOUND)


def _why_it_stays(layer: ImageFacts, children: Sequence[ImageFacts], *, always: bool) -> str:
    name, size = posixpath.basename(layer.path), format_size(layer.allocated)
    if len(children) > 1 and layer.backing is not None and not always:
        added = format_size((len(children) - 1) * layer.allocated)
        return _(
            "{file} ({size}) stays as a layer without a name: {count} images depend on it, and merging it into each "
            'would add {added}; merge="always" does it.'
        ).format(file=name, size=size, count=len(children), added=added)
    return _("{file} ({size}) stays as a layer without a name.").format(file=name, size=size)


def _merge_steps(
    state: LabState,
    facts: MachineFacts,
    images: Mapping[str, ImageFacts],
    layer: ImageFacts,
    children: Sequence[ImageFacts],
) -> list[Step] | None:
    """The steps that move a layer up into each of its children; None where one of them cannot take it."""
    below = images.get(layer.backing) if layer.backing else None
    others = any(disk_name(layer.path) != disk_name(each.path) or each.format is not Format.QCOW2 for each in children)
    if others or below is None or layer.internal:
        return None  # a base stays: it has the disk's format and much of its content
    active = {disk.path: disk.target for disk in (facts.live or facts.spec).disks} if facts.is_active else {}
    held = _held(state)
    if any(child.path in held and child.path not in active for child in children):
        return None  # QEMU has the child open, or a saved memory names it
    return [
        MergeLayer(
            layer=layer.path,
            child=child.path,
            onto=below.path,
            onto_format=below.format,
            bytes=layer.allocated,
            frozen=child.frozen,
            keeps_layer=child is not children[-1],
            machine_id=facts.id if child.path in active else None,
            domain=facts.spec.domain_name if child.path in active else None,
            disk_target=active.get(child.path),
        )
        for child in children
    ]


def _held(state: LabState) -> frozenset[str]:
    """The images of running, paused and saved machines, whose chains must stay as they are."""
    on = (machine for machine in state.everywhere.values() if machine.state != MachineState.OFF)
    specs = (machine.live or machine.spec for machine in on)
    return frozenset(image.path for spec in specs for disk in spec.disks for image in chain(state.images, disk.path))
