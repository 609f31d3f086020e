"""How the content of disks gets into full clones: as a file, as a whole chain, or from a running guest.

Knows: the model, steps. Must not know: libvirt, files, what is refused.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from labkit.language import _
from labkit.model.disk import chain, disk_name, extent_path, image_number, image_path
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneRequest, CloneSurvey, bear, define, name_disks, origin_of
from labkit.plans.reclaim import depth
from labkit.plans.steps import (
    BackUpDisks,
    ConvertImage,
    CopyImage,
    CopySnapshots,
    DeleteFiles,
    DiskBackup,
    FreezeImages,
    RebaseImage,
    Step,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The steps that make full clones, and notes about them."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def full_copies(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Copies:
    """Return the steps of clones whose disks are one image each, in the format and allocation of the original disk."""
    origin = origin_of(state, request)
    chains = [chain(state.images, disk.path) for disk in origin.disks]
    new = name_disks(state, origin.disks, [layers[-1].format for layers in chains], request)
    steps: list[Step] = []
    drafts: list[Step] = []
    if _is_live(state, request):
        sparse = [_is_sparse(layers) for layers in chains]
        into = [_draft(disk) if apart else disk for disk, apart in zip(new[0], sparse, strict=True)]
        steps.append(_backup(state, survey, request, list(zip(origin.disks, into, strict=True))))
        for layers, draft, disk in zip(chains, into, new[0], strict=True):
            if draft != disk:
                steps.append(_conversion(layers, draft, disk.path))
                drafts.append(DeleteFiles(paths=(draft.path,), bytes=_content(layers)))
        for disks in new[1:]:  # copies of the first, so all are of the same instant
            steps += (
                _copy(survey, request, _as_copied(layers, first), disk.path)
                for layers, first, disk in zip(chains, new[0], disks, strict=True)
            )
    else:
        for disks in new:
            steps += (_copy(survey, request, layers, disk.path) for layers, disk in zip(chains, disks, strict=True))
    return Copies(steps=(*steps, define(state, request, bear(state, request, origin, new)), *drafts))


def tree_copies(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Copies:
    """Return the steps of clones with the whole tree of snapshots: every image is copied, the lowest first."""
    source = state.machines[request.machine]
    tree = state.tree_of(request.machine)
    origin = source.spec
    active = {disk.path for disk in origin.disks} if _is_live(state, request) else set()
    steps: list[Step] = []
    places: list[dict[str, str]] = []
    for index, paths in enumerate(_place_trees(state, request, tree)):
        sources = {old: places[0][old] if index and old in active else old for old in paths}
        if active and not index:
            pairs = [(disk, _copied_disk(disk, paths[disk.path])) for disk in origin.disks]
            steps.append(_backup(state, survey, request, pairs, within_tree=True))
        for old in sorted(paths, key=lambda path: depth(state.images, path)):
            steps += _copy_layer(
                state, survey, request, old, sources[old], paths, backed_up=old in active and not index
            )
        places.append(paths)
    disks = [tuple(_copied_disk(disk, paths[disk.path]) for disk in origin.disks) for paths in places]
    specs = bear(state, request, origin, disks)
    steps.append(define(state, request, specs))
    if tree.nodes:
        steps += (_copied_tree(state, request, tree, spec, paths) for spec, paths in zip(specs, places, strict=True))
    if files := _frozen_files(state, tree, places):
        steps.append(FreezeImages(paths=files))
    kept = any(node.has_memory for node in tree.nodes.values())
    notes = (_("The memory of running snapshots stays with the original: in the clone they are disks only."),)
    return Copies(steps=tuple(steps), notes=notes if kept else ())


# --- one disk -----------------------------------------------------------------------------------


def _is_live(state: LabState, request: CloneRequest) -> bool:
    """Whether a guest may be writing to what is copied."""
    return request.snapshot is None and state.machines[request.machine].is_active


def _copy(survey: CloneSurvey, request: CloneRequest, layers: tuple[ImageFacts, ...], target: str) -> Step:
    """Copy a disk that nobody writes to: its file if it has only one, else what its layers hold together."""
    top = layers[0]
    if len(layers) == 1 and len(top.files) == 1:
        shared = request.reflink and survey.reflinks
        written = 0 if shared else top.allocated
        return CopyImage(source=top.path, target=target, bytes=written, reflink=request.reflink)
    return _conversion(layers, top, target)


def _conversion(layers: tuple[ImageFacts, ...], source: ImageFacts | DiskSpec, target: str) -> ConvertImage:
    """Copy what a disk's layers hold into one image of the disk's format and allocation."""
    base = layers[-1]
    return ConvertImage(
        source=source.path,
        source_format=source.format,
        target=target,
        target_format=base.format,
        allocation=base.allocation,
        capacity=layers[0].capacity,
        bytes=_content(layers),
    )


def _is_sparse(layers: tuple[ImageFacts, ...]) -> bool:
    """Whether a running guest's disk must be copied by way of a qcow2: else its zeros would take up space."""
    base = layers[-1]
    return base.allocation is Allocation.DYNAMIC and base.format is not Format.QCOW2


def _draft(disk: DiskSpec) -> DiskSpec:
    path = image_path(posixpath.dirname(disk.path), disk.name, image_number(disk.path) + 1, Format.QCOW2)
    return replace(disk, path=path, format=Format.QCOW2)


def _as_copied(layers: tuple[ImageFacts, ...], disk: DiskSpec) -> tuple[ImageFacts, ...]:
    """The copy of a disk as it will be: one image, of its base's format and allocation."""
    base = layers[-1]
    files = (disk.path, *[extent_path(disk.path)] * (len(base.files) - 1))
    return (replace(base, path=disk.path, files=files, capacity=layers[0].capacity, allocated=_content(layers)),)


def _content(layers: tuple[ImageFacts, ...]) -> int:
    """About how many bytes a copy of a disk takes."""
    capacity = layers[0].capacity
    fixed = layers[-1].allocation is Allocation.FIXED
    return capacity if fixed else min(capacity, sum(layer.allocated for layer in layers))


def _backup(
    state: LabState,
    survey: CloneSurvey,
    request: CloneRequest,
    pairs: list[tuple[DiskSpec, DiskSpec]],
    *,
    within_tree: bool = False,
) -> BackUpDisks:
    """Copy the disks of a running guest, all of one instant.

    Args:
        pairs: a disk of the original and the clone's copy. within_tree: whether the copies will stand on copies of
            layers.
    """
    source = state.machines[request.machine]
    disks = []
    written = 0
    for old, new in pairs:
        layers = chain(state.images, old.path)
        alone = len(layers) == 1 or not within_tree
        written += _content(layers)
        disks.append(
            DiskBackup(
                target=old.target,
                path=new.path,
                format=new.format,
                allocation=layers[-1].allocation if alone else Allocation.DYNAMIC,
                capacity=layers[0].capacity,
            )
        )
    return BackUpDisks(
        machine_id=source.id,
        domain=source.spec.domain_name,
        disks=tuple(disks),
        quiesce=survey.quiesce and source.state is MachineState.RUNNING,
        bytes=written,
    )


# --- a whole tree -------------------------------------------------------------------------------


def _copied_disk(disk: DiskSpec, path: str) -> DiskSpec:
    """A clone's disk, named as its image is."""
    return replace(disk, name=disk_name(path), path=path)


def _place_trees(state: LabState, request: CloneRequest, tree: SnapshotTree) -> Iterator[dict[str, str]]:
    """For each clone: the path of the copy of every image that the machine or a snapshot of it needs."""
    points = [state.machines[request.machine].spec.disks, *(node.disks for node in tree.nodes.values())]
    by_name: dict[str, DiskSpec] = {}
    needed: dict[str, list[str]] = {}
    seen: set[str] = set()
    for disk in (disk for disks in points for disk in disks):
        by_name.setdefault(disk.name, disk)
        for layer in chain(state.images, disk.path):
            if layer.path not in seen:
                seen.add(layer.path)
                needed.setdefault(disk.name, []).append(layer.path)
    disks = tuple(by_name.values())
    for named in name_disks(state, disks, [disk.format for disk in disks], request):
        paths: dict[str, str] = {}
        for disk, own in zip(disks, named, strict=True):
            folder = posixpath.dirname(own.path)
            ordered = sorted(needed.get(disk.name, ()), key=lambda path: (depth(state.images, path), path))
            for number, old in enumerate(ordered, image_number(own.path)):
                paths[old] = image_path(folder, own.name, number, state.images[old].format)
        yield paths


def _copy_layer(
    state: LabState,
    survey: CloneSurvey,
    request: CloneRequest,
    old: str,
    source: str,
    paths: Mapping[str, str],
    *,
    backed_up: bool,
) -> Iterator[Step]:
    """Copy one image of a tree, and let the copy stand on the copy of the image below the original.

    Args:
        old: the original image. source: the file that is copied: the original, or the first clone's copy of it.
            backed_up: whether the copy exists already and holds the whole disk.
    """
    image = state.images[old]
    if not backed_up:
        yield _copy(survey, request, (replace(image, path=source),), paths[old])
    if image.backing is not None and image.backing_format is not None:
        yield RebaseImage(
            path=paths[old], backing=paths[image.backing], backing_format=image.backing_format, exact=backed_up
        )


def _copied_tree(
    state: LabState, request: CloneRequest, tree: SnapshotTree, spec: MachineSpec, paths: Mapping[str, str]
) -> CopySnapshots:
    source = state.machines[request.machine]
    return CopySnapshots(
        source_id=source.id,
        spec=spec,
        paths=tuple(paths.items()),
        names=tuple(tree.nodes),
        current=tree.current,
    )


def _frozen_files(state: LabState, tree: SnapshotTree, places: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The files of the copies that must be frozen, since the copied snapshots keep them."""
    kept = dict.fromkeys(disk.path for node in tree.nodes.values() for disk in node.disks)
    return tuple(
        file
        for paths in places
        for old in kept
        for file in (paths[old], *[extent_path(paths[old])] * (len(state.images[old].files) - 1))
    )
