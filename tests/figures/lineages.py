"""Labs as values, for the tests of lineages: a machine with its snapshots, full and linked clones, a class."""

from __future__ import annotations

from dataclasses import replace

from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineFacts, MachineSpec, MachineState, Reason
from labkit.model.snapshot import SnapshotFacts, SnapshotKind, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.units import KIB, MIB

BOOT = Boot(kernel="/blobs/51349501a3d1ff83-vmlinuz", initramfs="/blobs/4dc5c2479b374cbe-initramfs")


def path(disk: str, number: int) -> str:
    """Where an image of a disk lies."""
    return f"/lab/disks/{disk}.{number}.qcow2"


class Builder:
    """Builds a lab's state step by step, as the acts would."""

    def __init__(self) -> None:
        self.images: dict[str, ImageFacts] = {}
        self.machines: dict[str, MachineFacts] = {}
        self.trees: dict[str, SnapshotTree] = {}

    def image(self, where: str, on: str | None = None, allocated: int = MIB, *, frozen: bool = False) -> str:
        """Add an image."""
        self.images[where] = ImageFacts(
            path=where, format=Format.QCOW2, capacity=64 * MIB, length=allocated, allocated=allocated,
            allocation=Allocation.DYNAMIC, files=(where,), backing=on, frozen=frozen,
        )  # fmt: skip
        return where

    def machine(self, name: str, disks: int = 1, *, on: str | None = None, allocated: int = 20 * MIB) -> Builder:
        """Add a machine: standing alone, or a linked clone of "machine@snapshot"."""
        below = self._frozen(on) if on else [None] * disks
        specs = []
        for number, backing in enumerate(below):
            target = f"vd{'abc'[number]}"
            where = self.image(path(f"{name}.{target}", 0), backing, 196 * KIB if on else allocated)
            specs.append(DiskSpec(name=f"{name}.{target}", target=target, path=where, format=Format.QCOW2))
        spec = MachineSpec(
            name=name, lab="t", lab_id="1", id=f"id-{name}", memory=128 * MIB, vcpus=1, image="tiny", boot=BOOT,
            disks=tuple(specs), accelerator=Accelerator.TCG,
        )  # fmt: skip
        self.machines[name] = MachineFacts(spec=spec, live=None, state=MachineState.OFF, reason=Reason.SHUT_DOWN)
        return self

    def take(self, name: str, snapshot: str, kind: SnapshotKind = SnapshotKind.OFF) -> Builder:
        """Take a snapshot of a machine."""
        facts, tree = self.machines[name], self.trees.get(name, SnapshotTree())
        node = SnapshotFacts(
            name=snapshot, description="", parent=tree.current, created=len(tree), kind=kind, spec=facts.spec
        )
        self.trees[name] = SnapshotTree(nodes=sort_nodes({**tree.nodes, snapshot: node}), current=snapshot)
        return self._go_on(name, facts.spec)

    def restore(self, name: str, snapshot: str) -> Builder:
        """Let a machine go on from one of its snapshots."""
        self.trees[name] = replace(self.trees[name], current=snapshot)
        return self._go_on(name, self.trees[name][snapshot].spec, discard=True)

    def _go_on(self, name: str, spec: MachineSpec, *, discard: bool = False) -> Builder:
        if discard:
            for disk in self.machines[name].spec.disks:
                del self.images[disk.path]
        disks = []
        for disk in spec.disks:
            self.images[disk.path] = replace(self.images[disk.path], frozen=True)
            number = 1 + max(
                int(each.split(".")[-2]) for each in self.images if each.startswith(f"/lab/disks/{disk.name}.")
            )
            disks.append(replace(disk, path=self.image(path(disk.name, number), disk.path, 3 * MIB)))
        facts = self.machines[name]
        self.machines[name] = replace(facts, spec=replace(facts.spec, disks=tuple(disks)))
        return self

    def _frozen(self, point: str) -> list[str | None]:
        machine, _at, snapshot = point.partition("@")
        return [disk.path for disk in self.trees[machine][snapshot].disks]

    @property
    def state(self) -> LabState:
        """What has been built."""
        return LabState(
            lab="t", lab_id="1", home="/lab", machines=dict(sorted(self.machines.items())),
            snapshots=self.trees, images=self.images,
        )  # fmt: skip


def small() -> Builder:
    """A machine, a snapshot of it, a full and a linked clone."""
    return Builder().machine("web").take("web", "clean").machine("copy").machine("link", on="web@clean")


def classroom(seats: int = 20) -> Builder:
    """Linked clones for a class; one of them has gone its own way."""
    lab = Builder().machine("web", 2).take("web", "clean", SnapshotKind.RUNNING).take("web", "later")
    for number in range(1, seats + 1):
        lab.machine(f"seat-{number:02}", on="web@clean")
    lab.take("seat-07", "own")
    lab.image("/lab/disks/data.0.qcow2", allocated=8 * MIB)
    return lab


def busy() -> Builder:
    """A lab of about sixty points that no two of which are alike."""
    lab = Builder()
    kinds = list(SnapshotKind)
    for letter in "abcdef":
        name = f"{letter}-server"
        lab.machine(name, 1 + "abcdef".index(letter) % 3)
        for number in range(5):
            lab.take(name, f"state-{number}", kinds[number % 4])
        lab.restore(name, "state-1").take(name, "branch")
        for number in range(2):
            lab.machine(f"{letter}-clone{number}", on=f"{name}@state-{number}")
        lab.take(f"{letter}-clone0", "mine")
    return lab
