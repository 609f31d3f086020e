"""How a machine is brought back to a snapshot: its definition, its disks, its memory.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from labkit.engine.context import Context
from labkit.errors import NotFound, WrongState
from labkit.hypervisor.managed_save import save_memory
from labkit.model.image import Allocation
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.steps import DefineFromSnapshot, DropSaved, MarkCurrent, RestoreMemory, RestoreStep
from labkit.storage import headers, qemu_img


def do(step: RestoreStep, context: Context) -> None:
    """Carry a step out."""
    snapshots = context.snapshots
    match step:
        case DropSaved():
            snapshots.drop_saved(step.machine_id)
        case DefineFromSnapshot():
            snapshots.define_from(step.machine_id, step.snapshot, step.disks, step.accelerator)
        case MarkCurrent():
            snapshots.mark_current(step.machine_id, step.snapshot)
        case RestoreMemory():
            _restore_memory(step, context)
        case _:
            assert_never(step)


def is_done(step: RestoreStep, state: LabState) -> bool:
    """Whether a step has been carried out."""
    machine = state.find_machine(step.machine_id)
    match step:
        case DropSaved():
            return machine is None or machine.state != MachineState.SAVED
        case DefineFromSnapshot() | RestoreMemory():
            return machine is not None and {disk.path for disk in step.disks} <= {
                disk.path for disk in machine.spec.disks
            }
        case MarkCurrent():
            tree = state.snapshots.get(machine.name) if machine else None
            return tree is not None and tree.current == step.snapshot
        case _:
            assert_never(step)


def _restore_memory(step: RestoreMemory, context: Context) -> None:
    """Let the guest go on from the memory; it may be called again."""
    domains = context.domains
    state = domains.state(step.machine_id)[0]
    if state is MachineState.OFF or (state is MachineState.SAVED and not step.saved):
        _empty(step.disks)
        paused = step.paused or step.saved
        context.snapshots.restore_memory(step.machine_id, step.memory, step.disks, paused=paused)
        state = MachineState.PAUSED
    if step.saved and state is not MachineState.SAVED:
        save_memory(domains, step.machine_id, subject="", then_runs=not step.paused)


def cut_power_of_others(step: DefineFromSnapshot, context: Context) -> None:
    """End a guest that somebody started on other images after its power was cut for the restore."""
    with contextlib.suppress(NotFound, WrongState):
        if context.has_guest(step.machine_id):
            live = context.domains.xml(step.machine_id, persistent=False)
            if not all(disk.path in live for disk in step.disks):
                context.domains.kill(step.machine_id)


def leave_off(step: RestoreMemory, context: Context) -> None:
    """If the memory cannot be restored, leave the machine off, with its disks as in the snapshot."""
    with contextlib.suppress(NotFound, WrongState):
        context.domains.kill(step.machine_id)
    _empty(step.disks)


def _empty(overlays: Sequence[DiskSpec]) -> None:
    """Empty overlays that a guest has written to before its memory is restored once more: both must fit."""
    for disk in overlays:
        path = Path(disk.path)
        if headers.is_blank_or_gone(path):
            continue
        facts = headers.read_image(path, disk.format)
        if facts.backing:
            qemu_img.create(
                path,
                disk.format,
                facts.capacity,
                Allocation.DYNAMIC,
                backing=Path(facts.backing),
                backing_format=facts.backing_format,
                replace=True,
            )
