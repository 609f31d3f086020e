"""How snapshots are taken, undone, forgotten, brought back, renamed.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import assert_never

from labkit.engine import mapping, seals
from labkit.engine.context import Context
from labkit.errors import NotFound
from labkit.guest.console import read_last_line
from labkit.hypervisor import block_nodes, forgotten_commits, jobs, mapped
from labkit.hypervisor.channels import thaw
from labkit.limits import Limit
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.snapshot import SnapshotKind
from labkit.model.state import LabState
from labkit.plans.steps import ForgetSnapshot, RelabelSnapshot, ReviveSnapshot, SnapshotStep, TakeSnapshot
from labkit.storage import files, headers, qemu_img
from labkit.storage.plain import open_plain

TAKE_BACK_LIMIT = 60.0
"""Seconds that moving data back down may take."""


def do(step: SnapshotStep, context: Context) -> None:
    """Carry a step out."""
    snapshots = context.snapshots
    match step:
        case TakeSnapshot():
            _take(step, context)
        case ForgetSnapshot():
            with contextlib.suppress(NotFound):
                snapshots.forget(step.machine_id, step.snapshot, then_current=step.then_current)
        case ReviveSnapshot():
            snapshots.revive(step.machine_id, step.snapshot, step.xml, parent=step.parent)
        case RelabelSnapshot():
            snapshots.relabel(step.machine_id, step.old, step.new, step.description, current=step.current)
        case _:
            assert_never(step)


def is_done(step: SnapshotStep, state: LabState) -> bool:
    """Whether a step has been carried out."""
    machine = state.find_machine(step.machine_id)
    tree = state.snapshots.get(machine.name) if machine else None
    match step:
        case TakeSnapshot():  # with its memory, if that was to be kept
            return (
                tree is not None
                and step.name in tree
                and (step.memory is None or tree[step.name].kind != SnapshotKind.OFF)
            )
        case ForgetSnapshot():
            return tree is None or step.snapshot not in tree
        case ReviveSnapshot():
            return tree is not None and step.snapshot in tree
        case RelabelSnapshot():
            return tree is not None and step.new in tree and step.description in (None, tree[step.new].description)
        case _:
            assert_never(step)


def _take(step: TakeSnapshot, context: Context) -> None:
    """Take the snapshot; if it was taken already, make the definition agree with it."""
    if step.memory is not None:
        # labkit makes the file: the hypervisor writes into it and does not choose its name.
        Path(step.memory).touch(mode=0o600)
    context.snapshots.take(
        step.machine_id,
        name=step.name,
        description=step.description,
        memory=step.memory,
        overlays=step.overlays,
        said=read_last_line(Path(step.console), open_plain) if step.console else "",
        live=step.live,
        quiesce=step.quiesce,
    )
    # libvirt would write the chain into the definition, and could not start the machine once a layer is merged away.
    if step.live or not _points(context, step):
        context.domains.repoint(step.machine_id, *step.overlays)
    if step.live:
        mapped.keep_like_any_other(context.domains.connection, step.machine_id, step.name)
    if step.memory is not None:
        mapping.make_like_any_other(Path(step.memory))
        seals.seal([step.memory])


def _points(context: Context, step: TakeSnapshot) -> bool:
    definition = context.domains.xml(step.machine_id)
    return all(disk.path in definition for disk in step.overlays)


def wait_until_settled(step: TakeSnapshot, context: Context) -> None:
    """Let the guest's file systems go on if the daemon died while they were frozen for the snapshot."""
    if step.quiesce:
        thaw(context.domains.connection, step.machine_id)


def take_back(step: TakeSnapshot, state: LabState, context: Context) -> None:
    """Undo a take that switched disks but left no snapshot: the machine goes back to the images it had.

    What was written into the overlays meanwhile is moved down into those images, since nothing else depends on them.
    """
    domains, snapshots = context.domains, context.snapshots
    machine = state.find_machine(step.machine_id)
    if machine is not None:
        if step.name in state.snapshots.get(machine.name, ()):
            snapshots.forget(machine.id, step.name, then_current=step.parent)
        limit = Limit(TAKE_BACK_LIMIT)
        written = block_nodes.find_written(domains.connection, machine.id)
        for old, overlay in zip(step.frozen, step.overlays, strict=True):
            # A daemon that was killed may not have recorded that QEMU went up into the overlay, or came down from it.
            knows = _uses(machine.live, overlay)
            if overlay.path in written:
                move_down = jobs.commit if knows else block_nodes.go_back
                move_down(domains.connection, machine.id, overlay, old, limit)
            elif knows:
                forgotten_commits.end_commit(domains.connection, machine.id, overlay, old)
                block_nodes.close_forgotten(domains.connection, machine.id)
            elif not machine.is_active and not headers.is_blank_or_gone(Path(overlay.path)):
                # Its QEMU has ended since, perhaps before the overlays were in the definition.
                qemu_img.commit(Path(overlay.path), overlay.format)
        domains.repoint(machine.id, *step.frozen)
        if step.parent is not None and state.snapshots[machine.name].current != step.parent:
            snapshots.mark_current(machine.id, step.parent)
    if step.memory is not None:
        files.delete_files([step.memory])
        seals.break_seals([step.memory])


def _uses(spec: MachineSpec | None, disk: DiskSpec) -> bool:
    return spec is not None and any(used.path == disk.path for used in spec.disks)
