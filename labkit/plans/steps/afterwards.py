"""The lab's state with one thing in it changed: the functions that the steps' `after` is written with.

Knows: the model. Must not know: which steps there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from labkit.model.disk import chain, extent_path
from labkit.model.geometry import vhd_capacity
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineSpec, MachineState, Reason
from labkit.model.snapshot import SnapshotFacts, SnapshotTree, sort_nodes
from labkit.model.state import LabState

EMPTY_BYTES = 196 * 1024
"""About how many bytes an empty differencing image takes on the host."""


# --- images -------------------------------------------------------------------------------------


def new_image(
    path: str,
    format: Format,
    capacity: int,
    allocated: int,
    *,
    allocation: Allocation = Allocation.DYNAMIC,
    below: tuple[str, Format] | None = None,
) -> ImageFacts:
    """Return an image as it is right after it was made."""
    flat = format is Format.VMDK and allocation is Allocation.FIXED
    return ImageFacts(
        path=path,
        format=format,
        capacity=vhd_capacity(capacity) if format is Format.VHD else capacity,
        length=allocated,
        allocated=allocated,
        allocation=allocation,
        files=(path, extent_path(path)) if flat else (path,),
        backing=below[0] if below else None,
        backing_format=below[1] if below else None,
    )


def overlay_on(state: LabState, path: str, backing: str, backing_format: Format) -> ImageFacts:
    """Return an empty image on another."""
    capacity = state.images[backing].capacity if backing in state.images else 0
    return new_image(path, Format.QCOW2, capacity, EMPTY_BYTES, below=(backing, backing_format))


def with_images(state: LabState, *images: ImageFacts) -> LabState:
    """Return the lab with these images, which replace those with the same path."""
    return replace(state, images={**state.images, **{image.path: image for image in images}})


def with_image(state: LabState, path: str, change: Callable[[ImageFacts], ImageFacts]) -> LabState:
    """Return the lab with one image changed; nothing changes if there is no such image."""
    return with_images(state, change(state.images[path])) if path in state.images else state


def without_files(state: LabState, paths: Iterable[str]) -> LabState:
    """Return the lab without some files, which may be images, memory, or strays."""
    gone = set(paths)
    return replace(
        state,
        images={path: image for path, image in state.images.items() if path not in gone},
        memories=state.memories - gone,
        strays=tuple(path for path in state.strays if path not in gone),
        damaged=state.damaged - gone,
    )


def alone(state: LabState, path: str) -> ImageFacts:
    """Return an image once it holds everything that it read from below."""
    layers = chain(state.images, path)
    allocated = min(layers[0].capacity, sum(layer.allocated for layer in layers))
    return replace(layers[0], backing=None, backing_format=None, allocated=allocated)


# --- machines -----------------------------------------------------------------------------------


def find_machine(state: LabState, machine_id: str) -> MachineFacts | None:
    """Return the machine with this id on this hypervisor instance, or None."""
    return next((facts for facts in state.machines.values() if facts.id == machine_id), None)


def with_new_machines(state: LabState, *specs: MachineSpec, on: MachineState = MachineState.OFF) -> LabState:
    """Return the lab with further machines, off or running."""
    live = on is not MachineState.OFF
    new = {
        spec.name: MachineFacts(spec=spec, live=spec if live else None, state=on, reason=Reason.UNKNOWN)
        for spec in specs
    }
    return replace(state, machines=dict(sorted({**state.machines, **new}.items())))


def with_machine(state: LabState, machine_id: str, change: Callable[[MachineFacts], MachineFacts]) -> LabState:
    """Return the lab with one machine changed; if it gets another name, it keeps its snapshots."""
    old = find_machine(state, machine_id)
    if old is None:
        return state
    new = change(old)
    machines = {name: facts for name, facts in state.machines.items() if name != old.name} | {new.name: new}
    trees = {new.name if name == old.name else name: tree for name, tree in state.snapshots.items()}
    return replace(state, machines=dict(sorted(machines.items())), snapshots=trees)


def without_machine(state: LabState, machine_id: str) -> LabState:
    """Return the lab without a machine and its snapshots; its images stay."""
    gone = {name for name, facts in state.machines.items() if facts.id == machine_id}
    return replace(
        state,
        machines={name: facts for name, facts in state.machines.items() if name not in gone},
        snapshots={name: tree for name, tree in state.snapshots.items() if name not in gone},
    )


def with_specs(facts: MachineFacts, change: Callable[[MachineSpec], MachineSpec]) -> MachineFacts:
    """Return a machine with its definition changed, and its running guest's definition likewise."""
    return replace(facts, spec=change(facts.spec), live=facts.live and change(facts.live))


def using(spec: MachineSpec, disks: Iterable[DiskSpec]) -> MachineSpec:
    """Return a definition with these disks, which replace those with the same targets."""
    disks = {disk.target: disk for disk in (*spec.disks, *disks)}.values()
    return replace(spec, disks=tuple(disks))


# --- snapshots ----------------------------------------------------------------------------------


def tree_by_id(state: LabState, machine_id: str) -> SnapshotTree:
    """Return the snapshots of a machine by its id; an empty tree where it has none."""
    facts = find_machine(state, machine_id)
    return state.tree_of(facts.name) if facts else SnapshotTree()


def with_tree(state: LabState, machine_id: str, tree: SnapshotTree) -> LabState:
    """Return the lab with a machine's snapshots replaced."""
    facts = find_machine(state, machine_id)
    if facts is None:
        return state
    others = {name: each for name, each in state.snapshots.items() if name != facts.name}
    return replace(state, snapshots={**others, facts.name: tree} if tree else others)


def make_tree(nodes: Iterable[SnapshotFacts], current: str | None) -> SnapshotTree:
    """Return snapshots as a tree."""
    return SnapshotTree(nodes=sort_nodes({node.name: node for node in nodes}), current=current)


def newest(tree: SnapshotTree) -> int:
    """Return a time later than that of all snapshots of a tree, in seconds since 1970."""
    return 1 + max((node.created for node in tree.nodes.values()), default=0)
