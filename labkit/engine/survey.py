"""Measuring what a plan needs to know of the host.

Knows: where it is measured. Must not know: what the plan makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from labkit.engine.host import choose_accelerator
from labkit.engine.seals import find_changed
from labkit.engine.workspace import Workspace
from labkit.hypervisor.inquiry import find_config_folder
from labkit.hypervisor.snapshots import Snapshots
from labkit.hypervisor.sockets import name_room
from labkit.model.machine import Accelerator, MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans.machine import Survey
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.storage.files import free_bytes


def survey_host(workspace: Workspace, uri: str = "") -> Survey:
    """Return the host's memory, CPUs, free space and accelerator, and the room for a machine's sockets.

    Args:
        uri: of the hypervisor instance that is to have the machine; "": the session's own.
    """
    config = find_config_folder(uri)
    return Survey(
        host_memory=psutil.virtual_memory().total,
        host_cpus=psutil.cpu_count() or 1,
        free_bytes=free_bytes(workspace.home),
        accelerator=choose_accelerator(workspace.images).accelerator,
        name_room=name_room(config),
        config=str(config),
    )


def free_memory() -> int:
    """Return the bytes of memory that the host can give to programs now."""
    return int(psutil.virtual_memory().available)


def survey_snapshots(
    workspace: Workspace,
    snapshots: Snapshots,
    state: LabState,
    facts: MachineFacts,
    *,
    frozen: Iterable[str],
    quiesce: bool,
) -> SnapshotSurvey:
    """Return what plans about a machine's snapshots need measured.

    Args:
        frozen: the images nobody may write to. quiesce: whether the guest's agent answers.
    """
    nodes = state.snapshots.get(facts.name, SnapshotTree()).nodes.values()
    memories = {node.memory for node in nodes if node.memory}
    boots = {path for node in nodes for path in (node.spec.boot.kernel, node.spec.boot.initramfs) if path}
    has_hardware = any(node.spec.accelerator is Accelerator.KVM for node in nodes)
    host = snapshots.read_host(facts.spec.accelerator) if memories else None
    return SnapshotSurvey(
        free_bytes=free_bytes(workspace.home),
        quiesce=quiesce,
        memory_bytes={path: Path(path).stat().st_blocks * 512 for path in memories if Path(path).exists()},
        deepest=snapshots.deepest_chain(),
        changed=frozenset(find_changed(workspace.disks, frozen)),
        lost=frozenset(path for path in boots if not Path(path).exists()),
        checkpoints=snapshots.find_checkpoints(facts.id),
        accelerator=choose_accelerator(workspace.images).accelerator if has_hardware else None,
        cpu_models=host.cpu_models if host else None,
        qemu=host.qemu if host else "",
    )
