"""Labs with clones as values, for tests of what is pure."""

from __future__ import annotations

from dataclasses import replace

from labkit.model.image import Format, ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, NewClone
from labkit.units import GIB, MIB
from tests.snapshots.world import HOME, disk, image, machine, snapshot

SURVEY = CloneSurvey(free_bytes=100 * GIB, host_memory=8 * GIB)


def named(facts: MachineFacts, name: str) -> MachineFacts:
    """Return a machine under another name, with an id of its own."""

    def rename(spec: MachineSpec | None) -> MachineSpec | None:
        return spec and replace(spec, name=name, id=f"id-of-{name}")

    return replace(facts, spec=rename(facts.spec) or facts.spec, live=rename(facts.live))


class Builder:
    """A lab that grows machine by machine; every machine has one disk."""

    def __init__(self) -> None:
        self.images: dict[str, ImageFacts] = {}
        self.machines: dict[str, MachineFacts] = {}
        self.nodes: dict[str, list[SnapshotFacts]] = {}

    def add(self, name: str, *, on: DiskSpec | None = None, snapshots: int = 0, state: str = "off") -> list[DiskSpec]:
        """Add a machine after so many snapshots "s1" … in a row; returns its images, base first.

        Args:
            on: the frozen image that it is a linked clone on.
        """
        specs = [disk(f"{name}.vda", number) for number in range(snapshots + 1)]
        for number, spec in enumerate(specs):
            below = specs[number - 1] if number else on
            self.images[spec.path] = image(spec, below, frozen=number < snapshots)
        self.machines[name] = named(machine(specs[-1], state=MachineState(state)), name)
        self.nodes[name] = [
            snapshot(f"s{number + 1}", named(machine(spec), name).spec, f"s{number}" if number else None)
            for number, spec in enumerate(specs[:-1])
        ]
        return specs

    def add_free(self, name: str, *, on: DiskSpec | None = None, format: Format = Format.QCOW2) -> DiskSpec:
        """Add a free disk."""
        spec = disk(name, format=format)
        self.images[spec.path] = image(spec, on)
        return spec

    def forget(self, machine: str, name: str) -> None:
        """Take a snapshot's record away, its image stays: a layer without a name."""
        self.nodes[machine] = [
            replace(node, parent=None if node.parent == name else node.parent)
            for node in self.nodes[machine]
            if node.name != name
        ]

    @property
    def state(self) -> LabState:
        """The lab as a value."""
        trees = {
            name: SnapshotTree(nodes=sort_nodes({node.name: node for node in nodes}), current=nodes[-1].name)
            for name, nodes in self.nodes.items()
            if nodes
        }
        return LabState(
            lab="default",
            lab_id="lab-id",
            home=HOME,
            machines=dict(sorted(self.machines.items())),
            snapshots=trees,
            images=dict(self.images),
        )


def request(
    *names: str,
    machine: str = "web",
    kind: CloneKind = CloneKind.LINKED,
    snapshot: str | None = None,
    snapshots: bool = False,
    reflink: bool = True,
) -> CloneRequest:
    """Return a request for clones of a machine."""
    return CloneRequest(
        machine=machine,
        clones=tuple(NewClone(name=name, id=f"id-of-{name}", genid=f"genid-of-{name}") for name in names),
        kind=kind,
        snapshot=snapshot,
        snapshots=snapshots,
        reflink=reflink,
    )


MIB_EACH = MIB
"""Bytes that every image of these labs takes."""
