"""What a plan leaves behind: the lab's state as it will be, told from the plan's steps before anything is done.

It knows the steps of machines, disks, snapshots and clones, not those of archives and journeys. Sizes in it are what
the plan foresees.
Knows: plans, the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace

from labkit.model.disk import chain
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineSpec, MachineState, Reason
from labkit.model.snapshot import SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot_effect import tree_after
from labkit.plans.steps import (
    AttachDisk,
    BackUpDisks,
    ConvertImage,
    CopyImage,
    CopySnapshots,
    CreateImage,
    CreateOverlay,
    DefineClones,
    DefineFromSnapshot,
    DefineMachine,
    DeleteFiles,
    DetachDisk,
    FreezeImages,
    LinkImages,
    MergeLayer,
    PullBases,
    RebaseImage,
    RenameMachine,
    ReplaceImage,
    RestoreMemory,
    Step,
    TakeSnapshot,
    UndefineMachine,
    WakeClones,
)

EMPTY_BYTES = 196 * 1024
"""Bytes the host gives an empty differencing image, about."""


def state_after(state: LabState, plan: Plan) -> LabState:
    """Return the lab as it will be when a plan is carried out; a refused plan changes nothing."""
    after = state
    for step in plan.steps:
        after = replace(
            after,
            images=_images_after(after, step),
            machines=_machines_after(after, step),
            snapshots=_trees_after(after, step),
        )
    return _with_tree(state, after, plan)


def _images_after(state: LabState, step: Step) -> Mapping[str, ImageFacts]:
    images = {**state.images, **_born(state.images, step)}
    match step:
        case RebaseImage() if step.path in images:
            images[step.path] = replace(images[step.path], backing=step.backing)
        case PullBases():
            images.update({disk.path: _alone(state, disk.path) for disk in step.disks})
        case ReplaceImage() if step.draft in images:
            draft = images.pop(step.draft)
            images[step.path] = replace(draft, path=step.path, files=(step.path,), frozen=step.frozen)
        case MergeLayer() if step.child in images:
            images[step.child] = replace(images[step.child], backing=step.onto)
            images.pop(step.layer, None)
        case FreezeImages():
            images.update({path: replace(images[path], frozen=True) for path in step.paths if path in images})
        case DeleteFiles():
            return {path: image for path, image in images.items() if path not in step.paths}
    return images


def _born(images: Mapping[str, ImageFacts], step: Step) -> dict[str, ImageFacts]:
    """Return the images that a step creates."""
    born: list[ImageFacts] = []
    match step:
        case CopyImage():
            like = images.get(step.source)
            born.append(_image(step.target, like=like, backing=like.backing if like else None, allocated=step.bytes))
        case ConvertImage():
            born.append(_image(step.target, like=images.get(step.source), allocated=step.bytes))
        case CreateImage():
            born.append(_image(step.path, allocated=step.bytes))
        case BackUpDisks():
            born += (_image(disk.path, allocated=step.bytes // len(step.disks)) for disk in step.disks)
        case LinkImages():
            born += (_image(path, like=images.get(step.backing), backing=step.backing) for path in step.paths)
        case CreateOverlay():
            born.append(_image(step.path, like=images.get(step.backing), backing=step.backing))
    return {image.path: image for image in born}


def _machines_after(state: LabState, step: Step) -> Mapping[str, MachineFacts]:
    machines = dict(state.machines)
    match step:
        case DefineMachine():
            machines[step.spec.name] = _off(step.spec)
        case DefineClones():
            machines.update({spec.name: _off(spec) for spec in step.specs})
        case WakeClones():
            machines.update({spec.name: _running(spec) for spec in step.specs})
        case UndefineMachine():
            return {name: facts for name, facts in machines.items() if facts.id != step.machine_id}
        case TakeSnapshot():
            return _with_disks(machines, step.machine_id, step.overlays)
        case DefineFromSnapshot() | RestoreMemory():
            return _with_disks(machines, step.machine_id, step.disks)
        case AttachDisk():
            return _with_disks(machines, step.machine_id, [step.disk])
        case DetachDisk():
            return {
                name: facts if facts.id != step.machine_id else replace(facts, spec=_without(facts.spec, step.target))
                for name, facts in machines.items()
            }
        case RenameMachine() if step.old in machines:
            facts = machines.pop(step.old)
            machines[step.new] = replace(facts, spec=replace(facts.spec, name=step.new))
    return machines


def _trees_after(state: LabState, step: Step) -> Mapping[str, SnapshotTree]:
    trees = dict(state.snapshots)
    match step:
        case UndefineMachine():
            gone = {name for name, facts in state.machines.items() if facts.id == step.machine_id}
            return {name: tree for name, tree in trees.items() if name not in gone}
        case RenameMachine() if step.old in trees:
            trees[step.new] = trees.pop(step.old)
        case CopySnapshots():
            trees[step.spec.name] = _copied(state, step)
    return trees


def _with_tree(before: LabState, after: LabState, plan: Plan) -> LabState:
    """Let the machine that a plan is about have the snapshots that the plan leaves it."""
    name = plan.names[0] if plan.names else ""
    if name not in before.machines or name not in after.machines:
        return after
    trees = {key: tree for key, tree in after.snapshots.items() if key != name}
    tree = tree_after(before, plan)
    return replace(after, snapshots={**trees, name: tree} if tree else trees)


def _copied(state: LabState, step: CopySnapshots) -> SnapshotTree:
    source = next(name for name, facts in state.machines.items() if facts.id == step.source_id)
    copies = dict(step.paths)
    nodes = {}
    for name in step.names:
        node = state.snapshots[source][name]
        disks = tuple(replace(disk, path=copies.get(disk.path, disk.path)) for disk in node.disks)
        nodes[name] = replace(node, spec=replace(node.spec, name=step.spec.name, disks=disks))
    return SnapshotTree(nodes=sort_nodes(nodes), current=step.current)


def _with_disks(
    machines: Mapping[str, MachineFacts], machine_id: str, disks: Iterable[DiskSpec]
) -> dict[str, MachineFacts]:
    """Let a machine write to other images from now on: those given take the place of what had their targets."""
    new = {disk.target: disk for disk in disks}

    def change(spec: MachineSpec) -> MachineSpec:
        return replace(spec, disks=tuple({**{disk.target: disk for disk in spec.disks}, **new}.values()))

    return {
        name: replace(facts, spec=change(facts.spec), live=facts.live and change(facts.live))
        if facts.id == machine_id
        else facts
        for name, facts in machines.items()
    }


def _without(spec: MachineSpec, target: str) -> MachineSpec:
    return replace(spec, disks=tuple(disk for disk in spec.disks if disk.target != target))


def _off(spec: MachineSpec) -> MachineFacts:
    return MachineFacts(spec=spec, live=None, state=MachineState.OFF, reason=Reason.UNKNOWN)


def _running(spec: MachineSpec) -> MachineFacts:
    return MachineFacts(spec=spec, live=spec, state=MachineState.RUNNING, reason=Reason.UNKNOWN)


def _alone(state: LabState, path: str) -> ImageFacts:
    layers = chain(state.images, path)
    return replace(layers[0], backing=None, allocated=sum(layer.allocated for layer in layers))


def _image(
    path: str, *, like: ImageFacts | None = None, backing: str | None = None, allocated: int = EMPTY_BYTES
) -> ImageFacts:
    return ImageFacts(
        path=path,
        format=Format(posixpath.splitext(path)[1].removeprefix(".")),
        capacity=like.capacity if like else 0,
        length=allocated,
        allocated=allocated,
        allocation=Allocation.DYNAMIC,
        files=(path,),
        backing=backing,
    )


__all__ = ["state_after"]
