"""A lab without a hypervisor: plans' steps applied to a `LabState`, and to real image files by the engine's own hands.

It is no stand-in for libvirt: nothing of the hypervisor's room runs here. A machine is a value in the state,
and it is off.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.engine.steps import do_step
from labkit.model.disk import disk_name
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineFacts, MachineSpec, MachineState, Reason
from labkit.model.snapshot import SnapshotFacts, SnapshotKind, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.steps import (
    AttachDisk,
    ConfigureMachine,
    CopySnapshots,
    CutPower,
    DefineClones,
    DefineFromSnapshot,
    DetachDisk,
    DropSaved,
    ForgetSnapshot,
    MarkCurrent,
    RelabelSnapshot,
    RestoreMemory,
    Step,
    TakeSnapshot,
    UndefineMachine,
)
from labkit.storage import headers
from labkit.units import MIB
from tests.files_only import files_context

HOME = "/lab"
MACHINE_ID = "4bdc4b71-4a3f-4b5b-9d3e-0d6d1d3f2a10"


def machine(*disks: DiskSpec, state: MachineState = MachineState.OFF, memory: int = 128 * MIB) -> MachineFacts:
    """Return a machine "web" with these disks."""
    spec = MachineSpec(
        name="web",
        lab="default",
        lab_id="lab-id",
        id=MACHINE_ID,
        memory=memory,
        vcpus=1,
        image="tiny",
        boot=Boot(),
        disks=disks,
        accelerator=Accelerator.TCG,
    )
    active = state in (MachineState.RUNNING, MachineState.PAUSED)
    return MachineFacts(spec=spec, live=spec if active else None, state=state, reason=Reason.UNKNOWN)


def disk(
    name: str, number: int = 0, *, target: str = "vda", format: Format = Format.QCOW2, home: str = HOME
) -> DiskSpec:
    """Return a disk of a machine by its image's number."""
    return DiskSpec(name=name, target=target, path=f"{home}/disks/{name}.{number}.{format}", format=format)


def image(spec: DiskSpec, below: DiskSpec | None = None, *, allocated: int = MIB, frozen: bool = False) -> ImageFacts:
    """Return the image of a disk as it would be read."""
    return ImageFacts(
        path=spec.path,
        format=spec.format,
        capacity=8 * MIB,
        length=allocated,
        allocated=allocated,
        allocation=Allocation.DYNAMIC,
        files=(spec.path,),
        backing=below.path if below else None,
        backing_format=below.format if below else None,
        frozen=frozen,
    )


def snapshot(name: str, spec: MachineSpec, parent: str | None = None, *, memory: str | None = None) -> SnapshotFacts:
    """Return a snapshot of a machine."""
    return SnapshotFacts(
        name=name,
        description="",
        parent=parent,
        created=0,
        kind=SnapshotKind.RUNNING if memory else SnapshotKind.OFF,
        spec=spec,
        memory=memory,
    )


class World:
    """A lab of a machine "web", and its clones if any are made, all off; their images are real files in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "disks").mkdir(parents=True)
        self._machines = {"web": machine()}
        self._trees = {"web": SnapshotTree()}
        self._context = files_context(home, lambda: self.state)  # no step that reaches a hypervisor is handed on

    @property
    def state(self) -> LabState:
        """The lab now: the machines as it was told, the images as their headers say."""
        return LabState(
            lab="default",
            lab_id="lab-id",
            home=str(self.home),
            machines=dict(sorted(self._machines.items())),
            snapshots=dict(self._trees),
            images=headers.read_folder(self.home / "disks"),
        )

    def make_disk(self, name: str, format: Format, capacity: int) -> None:
        """Make a free disk."""
        path = self.home / "disks" / f"{name}.0.{format}"
        argv = ["qemu-img", "create", "-q", "-f", format.driver, str(path), str(capacity)]
        subprocess.run(argv, check=True)

    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says."""
        for step in plan.steps:
            if not self._tell(step):
                do_step(step, self._context)

    def _tell(self, step: Step) -> bool:
        """Let a machine and its tree be as a step of the hypervisor's says; False: it is about files."""
        match step:
            case DefineClones():
                for spec in step.specs:
                    self._define(spec)
            case CopySnapshots():
                self._copy_tree(step)
            case UndefineMachine():
                name = self._named(step.machine_id)
                del self._machines[name], self._trees[name]
            case AttachDisk() | DetachDisk() | ConfigureMachine():
                self._change(step)
            case TakeSnapshot() | DefineFromSnapshot() | MarkCurrent() | ForgetSnapshot() | RelabelSnapshot():
                self._tell_of_snapshots(step)
            case CutPower() | DropSaved() | RestoreMemory():
                raise AssertionError(step)
            case _:
                return False
        return True

    def _change(self, step: AttachDisk | DetachDisk | ConfigureMachine) -> None:
        spec = self._machines[self._named(step.machine_id)].spec
        match step:
            case AttachDisk():
                self._define(replace(spec, disks=(*spec.disks, step.disk)))
            case DetachDisk():
                self._define(replace(spec, disks=tuple(each for each in spec.disks if each.target != step.target)))
            case ConfigureMachine():
                self._define(replace(spec, memory=step.changes.memory or spec.memory))

    def _tell_of_snapshots(
        self, step: TakeSnapshot | DefineFromSnapshot | MarkCurrent | ForgetSnapshot | RelabelSnapshot
    ) -> None:
        name = self._named(step.machine_id)
        spec, tree = self._machines[name].spec, self._trees[name]
        match step:
            case TakeSnapshot():
                node = replace(
                    snapshot(step.name, spec, tree.current), created=1 + len(tree), description=step.description
                )
                self._trees[name] = _tree({**tree.nodes, node.name: node}, node.name)
                self._define(replace(spec, disks=step.overlays))
            case DefineFromSnapshot():
                self._define(replace(tree[step.snapshot].spec, disks=step.disks))
            case MarkCurrent():
                self._trees[name] = _tree(tree.nodes, step.snapshot)
            case ForgetSnapshot():
                self._trees[name] = _without(tree, step.snapshot)
            case RelabelSnapshot():
                self._trees[name] = _relabelled(tree, step)

    def _copy_tree(self, step: CopySnapshots) -> None:
        paths = dict(step.paths)
        nodes = {}
        for node in self._trees[self._named(step.source_id)].nodes.values():
            disks = tuple(replace(disk, path=paths[disk.path]) for disk in node.spec.disks)
            spec = replace(node.spec, name=step.spec.name, id=step.spec.id, genid=step.spec.genid, disks=disks)
            nodes[node.name] = replace(node, spec=_read_again(spec), memory=None)
        self._trees[step.spec.name] = _tree(nodes, step.current)

    def _named(self, machine_id: str) -> str:
        return next(name for name, facts in self._machines.items() if facts.id == machine_id)

    def _define(self, spec: MachineSpec) -> None:
        self._machines[spec.name] = replace(machine(), spec=_read_again(spec))
        self._trees.setdefault(spec.name, SnapshotTree())


def _read_again(spec: MachineSpec) -> MachineSpec:
    """Give disks the names that whoever reads the definition tells from their files."""
    return replace(spec, disks=tuple(replace(disk, name=disk_name(disk.path)) for disk in spec.disks))


def _tree(nodes: Mapping[str, SnapshotFacts], current: str | None) -> SnapshotTree:
    return SnapshotTree(nodes=sort_nodes(nodes), current=current)


def _changed(tree: SnapshotTree, change: Callable[[SnapshotFacts], SnapshotFacts]) -> dict[str, SnapshotFacts]:
    return {node.name: node for node in map(change, tree.nodes.values())}


def _without(tree: SnapshotTree, name: str) -> SnapshotTree:
    parent, current = tree[name].parent, tree.current
    nodes = _changed(tree, lambda node: replace(node, parent=parent) if node.parent == name else node)
    del nodes[name]
    return _tree(nodes, parent if current == name else current)


def _relabelled(tree: SnapshotTree, step: RelabelSnapshot) -> SnapshotTree:
    def change(node: SnapshotFacts) -> SnapshotFacts:
        return replace(
            node,
            name=step.new if node.name == step.old else node.name,
            description=_described(step, node),
            parent=step.new if node.parent == step.old else node.parent,
        )

    return _tree(_changed(tree, change), step.new if tree.current == step.old else tree.current)


def _described(step: RelabelSnapshot, node: SnapshotFacts) -> str:
    return node.description if step.description is None or node.name != step.old else step.description
