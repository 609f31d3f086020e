"""Where a machine is: on which side, by what process, with which snapshots.

Knows: labs and processes. Must not know: how a machine got there.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from labkit import Lab
from labkit.model.snapshot import SnapshotTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What both sides of a lab know of one machine.

    Attributes:
        here, there: whether each side has it. emulators: process ids of its QEMU.
        tree: parents of its snapshots by name. current: the one its state began from. state: where it is.
    """

    here: bool
    there: bool
    emulators: tuple[int, ...]
    tree: tuple[tuple[str, str | None], ...]
    current: str | None
    state: str


def look(lab: Lab, name: str = "web") -> Sides:
    """Look at a machine from both sides."""
    state, other = lab.state, lab.neighbour().state
    facts = state.everywhere[name]
    tree = (state.snapshots if name in state.machines else other.snapshots).get(name, SnapshotTree())
    return Sides(
        here=name in state.machines,
        there=name in other.machines,
        emulators=find_emulators(facts.id),
        tree=tuple((node.name, node.parent) for node in tree.nodes.values()),
        current=tree.current,
        state=facts.state,
    )


def find_emulators(machine_id: str) -> tuple[int, ...]:
    """Return the process ids of the emulators that run a machine; one that has ended and is not buried is none."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        line = process.info["cmdline"] or []
        if (process.info["name"] or "").startswith("qemu-system") and machine_id in line:
            found.append(process.pid)
    return tuple(found)
