"""The steps of snapshots that are more than one call: take, its way back, restoring memory, merging.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from labkit.engine import intact, seals
from labkit.engine.deleting import delete_unneeded
from labkit.engine.hands import Hands
from labkit.errors import ConnectionLost, LabError, NotFound, WrongState
from labkit.guest.console import read_last_line
from labkit.hypervisor import block_nodes, jobs
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.jobs import OnBytes
from labkit.hypervisor.snapshots import Snapshots
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotKind
from labkit.model.state import LabState
from labkit.plans.steps import DefineFromSnapshot, MergeLayer, RestoreMemory, TakeSnapshot
from labkit.storage import files, headers, linking, qemu_img
from labkit.storage.plain import open_plain

TAKE_BACK_LIMIT = 60.0
"""Seconds that moving data back down may take."""


def take(step: TakeSnapshot, domains: Domains, snapshots: Snapshots) -> None:
    """Take the snapshot; where it is taken already, let the definition agree with it."""
    if step.memory is not None:
        # The file is ours from the start: the hypervisor writes into it and never decides its name.
        Path(step.memory).touch(mode=0o600)
    snapshots.take(
        step.machine_id,
        name=step.name,
        description=step.description,
        memory=step.memory,
        overlays=step.overlays,
        said=read_last_line(Path(step.console), open_plain) if step.console else "",
        live=step.live,
        quiesce=step.quiesce,
    )
    # libvirt would note the chain in the definition, and not start once a layer is merged away.
    if step.live or not _points(domains, step):
        domains.repoint(step.machine_id, *step.overlays)
    if step.memory is not None:
        seals.seal([step.memory])


def _points(domains: Domains, step: TakeSnapshot) -> bool:
    definition = domains.xml(step.machine_id)
    return all(disk.path in definition for disk in step.overlays)


def is_taken(step: TakeSnapshot, state: LabState) -> bool:
    """Whether the hypervisor has the snapshot, and its memory too where that was to be kept."""
    name = next((facts.name for facts in state.machines.values() if facts.id == step.machine_id), "")
    tree = state.snapshots.get(name)
    return tree is not None and step.name in tree and (step.memory is None or tree[step.name].kind != SnapshotKind.OFF)


def take_back(step: TakeSnapshot, state: LabState, domains: Domains, snapshots: Snapshots) -> None:
    """Undo a take that switched disks but left no snapshot: the machine goes on in the images it had.

    What was written into the overlays meanwhile moves down into those images; nothing else depends on them.
    """
    machine = next((facts for facts in state.machines.values() if facts.id == step.machine_id), None)
    if machine is not None:
        if step.name in state.snapshots.get(machine.name, ()):
            snapshots.forget(machine.id, step.name, then_current=step.parent)
        limit = Limit(TAKE_BACK_LIMIT)
        written = block_nodes.find_written(domains.connection, machine.id)
        for old, overlay in zip(step.frozen, step.overlays, strict=True):
            if overlay.path in written:
                knows = _uses(machine.live, overlay)  # or the daemon was killed before it noted what QEMU had done
                move_down = jobs.commit if knows else block_nodes.go_back
                move_down(domains.connection, machine.id, overlay, old, limit)
            elif not machine.is_active and not _is_blank(Path(overlay.path)):
                # Its QEMU has ended since, and perhaps before the definition heard of the overlays.
                qemu_img.commit(Path(overlay.path), overlay.format)
        domains.repoint(machine.id, *step.frozen)
        if step.parent is not None and state.snapshots[machine.name].current != step.parent:
            snapshots.mark_current(machine.id, step.parent)
    if step.memory is not None:
        files.delete_files([step.memory])
        seals.break_seals([step.memory])


def restore_memory(step: RestoreMemory, domains: Domains, snapshots: Snapshots) -> None:
    """Let the guest go on from the memory; once is enough."""
    state = domains.state(step.machine_id)[0]
    if state is MachineState.OFF or (state is MachineState.SAVED and not step.saved):
        _empty(step.disks)
        snapshots.restore_memory(step.machine_id, step.memory, step.disks, paused=step.paused or step.saved)
        state = MachineState.PAUSED
    if step.saved and state is not MachineState.SAVED:
        domains.save(step.machine_id, subject="", then_runs=not step.paused)


def cut_power_of_others(step: DefineFromSnapshot, domains: Domains) -> None:
    """End a guest that was started on other images since its power was cut for a restore."""
    with contextlib.suppress(NotFound, WrongState):
        if _runs(step.machine_id, domains):
            live = domains.xml(step.machine_id, persistent=False)
            if not all(disk.path in live for disk in step.disks):
                domains.kill(step.machine_id)


def leave_off(step: RestoreMemory, domains: Domains) -> None:
    """Where the memory cannot be restored, leave the machine off with its disks as the snapshot has them."""
    with contextlib.suppress(NotFound, WrongState):
        domains.kill(step.machine_id)
    _empty(step.disks)


def _empty(overlays: Sequence[DiskSpec]) -> None:
    """Make overlays anew in which a guest has written before its memory is restored once more: both must fit."""
    for disk in overlays:
        path = Path(disk.path)
        if _is_blank(path):
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


def _is_blank(overlay: Path) -> bool:
    """Whether nothing has been written into an overlay, or it is not there."""
    try:
        return headers.is_blank(overlay)
    except FileNotFoundError:
        return True


def merge(step: MergeLayer, hands: Hands) -> str | None:
    """Move the layer's data up into its child and delete the layer once nothing depends on it.

    Where that cannot be done now, or is cancelled, the layer stays: no content depends on it being merged.

    Returns:
        What must be told: why the layer stays; or None.
    """
    domains, limit = hands.domains, hands.limit
    if not Path(step.layer).exists() or not Path(step.child).exists():
        return None
    backing = _backing(step)
    if backing and backing not in (step.layer, step.onto):
        # Moved past it, the child would leave the one in between to nobody.
        return None if step.keeps_layer else _stays(step, _("{file} above it stays.").format(file=Path(backing).name))
    if why := intact.why_not_intact(str(Path(step.child).parent.parent), [step]):
        return _leave(step, domains, why)
    files_of_child = headers.read_image(Path(step.child), Format.QCOW2).files if step.frozen else ()
    trouble = None
    try:
        limit.check()
        seals.break_seals(files_of_child)
        _move_up(step, domains, hands.on_bytes, limit, hands.inherit)
    except ConnectionLost:
        raise
    except LabError as error:
        trouble = error
        _depend_again(step, domains)
    finally:
        files.freeze_files(files_of_child)
        with contextlib.suppress(LabError):  # where the disk is full, the image goes on without a seal
            seals.seal(files_of_child)
    # What was reported does not decide: a merge that was cancelled may just have come to its end.
    if _backing(step) != step.onto:
        return _stays(step, trouble.message if trouble else _("it was not moved."))
    if not step.keeps_layer:
        files.sync_file(Path(step.child))
        delete_unneeded([step.layer], hands)
    return None


def _leave(step: MergeLayer, domains: Domains, why: str) -> str:
    """Merge nothing, since what would be read is not what it was; a merge cut short before is closed again."""
    _depend_again(step, domains)
    if step.frozen:
        parts = headers.read_image(Path(step.child), Format.QCOW2).files
        files.freeze_files(parts)
        seals.seal(parts, only_new=True)
    return _stays(step, why)


def _stays(step: MergeLayer, why: str) -> str:
    return _("{file} stays as a layer without a name: {why}").format(file=Path(step.layer).name, why=why)


def _move_up(step: MergeLayer, domains: Domains, on_bytes: OnBytes, limit: Limit, inherit: Sequence[int]) -> None:
    child = Path(step.child)
    if step.machine_id and step.disk_target and _runs(step.machine_id, domains):
        if _backing(step) == step.onto:  # moved by an act that was cut short
            jobs.flush(domains.connection, step.machine_id)
        else:
            jobs.pull(domains.connection, step.machine_id, step.disk_target, step.onto, limit, on_bytes)
        return
    with files.host_errors(child):
        os.chmod(child, child.stat().st_mode | 0o200)
    _depend_again(step, domains)
    onto = Path(step.onto) if step.onto else None
    qemu_img.rebase(child, onto, step.onto_format, on_bytes=on_bytes, limit=limit, inherit=inherit)


def _depend_again(step: MergeLayer, domains: Domains) -> None:
    """Make sure that the child's file has all it is to have, or depends on the layer.

    A process that was killed when it had just moved the data may have written the child's header and not yet all of
    its tables. What the child has got is what it would read in the layer, so to depend on it again changes no content.
    """
    if _backing(step) != step.onto:
        return
    if step.machine_id and _runs(step.machine_id, domains):
        with contextlib.suppress(NotFound, WrongState):  # it has just ended
            jobs.flush(domains.connection, step.machine_id)
            return
    linking.name_backing(Path(step.child), Path(step.layer), Format.QCOW2)


def _backing(step: MergeLayer) -> str | None:
    return headers.read_image(Path(step.child), Format.QCOW2).backing


def _runs(machine_id: str, domains: Domains) -> bool:
    return domains.state(machine_id)[0] in (MachineState.RUNNING, MachineState.PAUSED)


def _uses(spec: MachineSpec | None, disk: DiskSpec) -> bool:
    return spec is not None and any(used.path == disk.path for used in spec.disks)
