"""What the plans of snapshots share: a machine's tree, overlays, the frame of the plan.

Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from labkit.model.disk import name_of
from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from labkit.model.state import LabState
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import CreateOverlay, Step


def snapshot_plan(
    act: str,
    state: LabState,
    machine: str,
    name: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
    disks: Iterable[str] = (),
) -> Plan:
    """Return the plan of an act on one snapshot.

    Args:
        act: the verb. machine, name: the machine and its snapshot. steps, refusal, notes: as in `Plan`.
        disks: free disks that it changes too.
    """
    subject = f"{machine}@{name}"
    return make_plan(act, state, subject, names=[machine], disks=disks, steps=steps, refusal=refusal, notes=notes)


def make_overlays(
    state: LabState, disks: Iterable[DiskSpec], already: Mapping[str, int] | None = None
) -> tuple[DiskSpec, ...]:
    """Return the new active images of disks, numbered beyond all existing ones (and those planned already)."""
    beyond = already or {}
    named = [(disk, name_of(state.images, disk)) for disk in disks]
    return tuple(
        replace(
            disk,
            name=name,
            path=next_image_path(state, name, Format.QCOW2, beyond=beyond.get(name, 0)),
            format=Format.QCOW2,
        )
        for disk, name in named
    )


def make_creations(frozen: Iterable[DiskSpec], overlays: Iterable[DiskSpec]) -> list[Step]:
    """Return the steps that make overlays, each on the frozen image of its disk."""
    return [
        CreateOverlay(path=overlay.path, backing=below.path, backing_format=below.format)
        for below, overlay in zip(frozen, overlays, strict=True)
    ]
