"""What a state is to whoever draws it or plans on it: all but sizes, times and what a host measures.

Knows: the model. Must not know: plans, where states come from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.model.disk import disk_name
from labkit.model.image import Format
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.state import LabState

_MARKED = (Format.VDI, Format.VMDK, Format.VHD, Format.VHDX)
"""Formats that record whether they are fixed; others are when the host has given enough."""


def shape(state: LabState) -> dict[str, Any]:
    """Return a state as plain values that can be compared, each thing under its name."""
    shown: dict[str, Any] = {}
    for name, facts in state.machines.items():
        shown[f"machine {name}"] = (facts.state, _spec(facts.spec), facts.live and _disks(facts.live.disks))
    for name, tree in state.snapshots.items():
        shown[f"current of {name}"] = tree.current
        for node in tree.nodes.values():
            shown[f"snapshot {name}@{node.name}"] = (
                node.parent, node.kind, node.memory, node.description, node.spec.memory, _disks(node.disks)
            )  # fmt: skip
    for path, image in state.images.items():
        shown[f"image {path}"] = (
            image.format, image.capacity, image.backing, image.backing_format, image.frozen, image.files,
            image.allocation if image.format in _MARKED else None,
        )  # fmt: skip
    for name, disk in state.disks.items():
        shown[f"disk {name}"] = (disk.machine, disk.target, [layer.path for layer in disk.layers])
    shown["memories"] = sorted(state.memories)
    shown["elsewhere"] = {name: (state.places[name], _spec(facts.spec)) for name, facts in state.elsewhere.items()}
    shown["trees elsewhere"] = {name: sorted(tree) for name, tree in state.elsewhere_snapshots.items()}
    return shown


def differences(foreseen: LabState, found: LabState) -> dict[str, tuple[Any, Any]]:
    """Return in what two states differ: what was foreseen and what was found, by what it is."""
    one, other = shape(foreseen), shape(found)
    names = sorted({*one, *other})
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _spec(spec: MachineSpec) -> MachineSpec:
    return replace(spec, disks=_disks(spec.disks))


def _disks(disks: tuple[DiskSpec, ...]) -> tuple[DiskSpec, ...]:
    named = (replace(disk, name=disk.name if disk.served else disk_name(disk.path)) for disk in disks)
    return tuple(sorted(named, key=lambda disk: disk.target))
