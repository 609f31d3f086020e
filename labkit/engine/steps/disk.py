"""How disks are attached and detached, and their servers ended.

Knows: the hypervisor, the server of a disk. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from labkit.engine.context import Context
from labkit.errors import TimedOut
from labkit.hypervisor import block_nodes, disks
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import MachineSpec
from labkit.model.state import LabState
from labkit.plans.steps import AttachDisk, DetachDisk, DiskStep, RepointDisk, StopServing
from labkit.storage import nbd

TAKE_BACK_LIMIT = 20.0
"""Seconds in which a guest is to release a disk."""


def do(step: DiskStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case AttachDisk():
            disks.attach(context.domains, step.machine_id, step.disk)
        case DetachDisk():
            disks.detach(context.domains, step.machine_id, step.target, context.limit)
        case RepointDisk():
            context.domains.repoint(step.machine_id, step.disk)
        case StopServing():
            nbd.stop_server(Path(step.socket))
        case _:
            assert_never(step)


def is_done(step: DiskStep, state: LabState) -> bool:
    """Whether a step has been carried out; one begun for guest or definition counts, since it only goes forward."""
    match step:
        case AttachDisk() | RepointDisk():
            return any(disk.path == step.disk.path for spec in _specs(state, step.machine_id) for disk in spec.disks)
        case DetachDisk():
            specs = _specs(state, step.machine_id)
            return not all(any(disk.target == step.target for disk in spec.disks) for spec in specs)
        case StopServing():
            return step.disk not in state.served
        case _:
            assert_never(step)


def take_back(step: AttachDisk, context: Context) -> None:
    """Take the disk from a guest that got it at the very instant in which the daemon died, which never recorded it."""
    try:
        block_nodes.unplug_forgotten(context.domains.connection, step.machine_id, step.disk, Limit(TAKE_BACK_LIMIT))
    except TimedOut:
        context.tell(
            _("The guest does not let go of {target}: nobody else can use the disk until the guest has ended.").format(
                target=step.disk.target
            )
        )


def _specs(state: LabState, machine_id: str) -> tuple[MachineSpec, ...]:
    """The definition and, if it runs, the one that it runs with."""
    machine = state.find_machine(machine_id)
    return tuple(spec for spec in (machine.spec, machine.live) if spec) if machine else ()
