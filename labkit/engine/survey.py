"""Measuring what plans need to know: the host, frozen images, snapshots, orphans; see also `survey_disks` and the like.

Knows: where to measure. Must not know: what plans make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from labkit.engine import inside
from labkit.engine.handle import Handle
from labkit.engine.host import choose_accelerator
from labkit.engine.instances import SESSION
from labkit.engine.memory_files import look_inside
from labkit.engine.older import find_thawed
from labkit.engine.seals import find_changed, find_seals
from labkit.engine.session import Session
from labkit.engine.workspace import Workspace
from labkit.hypervisor.daemon_place import find_config_folder
from labkit.hypervisor.record_trust import are_known
from labkit.hypervisor.sockets import name_room
from labkit.model.machine import Accelerator
from labkit.model.orphan import OrphanFacts, find_point, parts_of
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.plans.broken import find_frozen
from labkit.plans.machine import Survey
from labkit.plans.orphan import OrphanSurvey
from labkit.plans.snapshot_excuses import find_unsavable
from labkit.plans.snapshot_survey import MemoryFault, SnapshotSurvey
from labkit.storage.files import free_bytes


def survey_host(workspace: Workspace, uri: str = "") -> Survey:
    """Return the host's memory, CPUs, free space and accelerator, and the room for a machine's name in socket paths.

    Args:
        uri: of the hypervisor instance for the machine; "" for the session's own.
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


def find_broken(workspace: Workspace, state: LabState, also: Iterable[str] = ()) -> frozenset[str]:
    """Return the frozen images of a lab that are no longer what they were when they froze, whatever their file mode.

    If only a file's time differs its content decides, and its seal heals. Images that were not frozen yet in an older
    folder brought back count as changed, too.

    Args:
        also: further images to check although nothing stands on them now; they were sealed when something did.
    """
    frozen = find_frozen(state) | state.images.keys() & set(also)
    owners = {file: path for path in frozen for file in state.images[path].files}
    changed = frozenset(owners[file] for file in find_changed(workspace.disks, owners))
    return changed | find_thawed(workspace, state.kept & frozen)


def find_bad_memories(
    workspace: Workspace, snapshots: Iterable[SnapshotFacts], read_definition: Callable[[str], str]
) -> dict[str, MemoryFault]:
    """Return what is wrong with the memory files of snapshots, by path; those that are gone are left out.

    The definition in such a file is used word for word when the memory is restored, and the lab's folder may come from
    anybody: so naming anything outside the lab is a fault, unless the hypervisor's own definition names it too.

    Args:
        read_definition: returns what the hypervisor itself knows of a snapshot, by its name.
    """
    kept = {node.memory: node for node in snapshots if node.memory and Path(node.memory).exists()}
    changed = set(find_changed(workspace.disks, kept))
    sizes = {name: seal.size for name, seal in find_seals(workspace.disks).items()} if changed else {}
    faults: dict[str, MemoryFault] = {}
    for memory, node in kept.items():
        path = Path(memory)
        images = frozenset(Path(disk.path).name for disk in node.disks)
        if memory in changed:
            cut = path.stat().st_size < sizes.get(path.name, 0)
            faults[memory] = MemoryFault.CUT if cut else MemoryFault.CHANGED
        elif (found := look_inside(path, workspace.home)) is None:
            faults[memory] = MemoryFault.DAMAGED
        elif found.strange and not are_known(found.strange, read_definition(node.name), str(workspace.home)):
            faults[memory] = MemoryFault.STRANGE
        elif found.images != images:
            faults[memory] = MemoryFault.FOREIGN
    return faults


def survey_orphan(session: Session, state: LabState, orphan: OrphanFacts) -> OrphanSurvey:
    """Return the survey for plans about an orphan: whether it, and what belongs to it, is still what it was."""
    from labkit.hypervisor.recording import read_forgotten

    workspace, returning = session.workspace, session.sides[SESSION].executor.returning
    point = find_point(state, orphan.path)
    parts = parts_of(state, point) if point else (orphan.path,)
    node = read_forgotten(point) if point else None
    trusted = {node.name: point.xml} if node and point and not point.why_not_trusted else {}
    return OrphanSurvey(
        changed=find_broken(workspace, state, parts),
        bad_memories=find_bad_memories(workspace, [node] if node else [], lambda name: trusted.get(name, "")),
        why_not_back=returning.why_not_back(orphan.unreturned) if orphan.unreturned else "",
    )


def survey_snapshots(machine: Handle, state: LabState, name: str, *, ask_guest: bool = False) -> SnapshotSurvey:
    """Return the survey for plans about a machine's snapshots.

    Args:
        name: the machine's in that state.
        ask_guest: whether to ask the guest's agent, which may take a moment; only a take without memory needs it.
    """
    workspace, snapshots = machine.workspace, machine.session.executor.snapshots
    facts = state.machines[name]
    nodes = state.tree_of(name).nodes.values()
    memories = {node.memory for node in nodes if node.memory}
    boots = {path for node in nodes for path in (node.spec.boot.kernel, node.spec.boot.initramfs) if path}
    has_hardware = any(node.spec.accelerator is Accelerator.KVM for node in nodes)
    host = snapshots.read_host(facts.spec.accelerator) if memories else None
    return SnapshotSurvey(
        free_bytes=free_bytes(workspace.home),
        quiesce=ask_guest and find_unsavable(state, facts) is not None and inside.answers(machine),
        memory_bytes=_measure((*memories, *state.beside(memories))),
        deepest=snapshots.deepest_chain(),
        bad_memories=find_bad_memories(workspace, nodes, lambda name: snapshots.xml(facts.id, name)),
        changed=find_broken(workspace, state),
        lost=frozenset(path for path in boots if not Path(path).exists()),
        checkpoints=snapshots.find_checkpoints(facts.id),
        accelerator=choose_accelerator(workspace.images).accelerator if has_hardware else None,
        cpu_models=host.cpu_models if host else None,
        qemu=host.qemu if host else "",
    )


def measure_given(paths: Iterable[str]) -> int:
    """Return the bytes that the host gives some files, each counted once; those that are gone count nothing."""
    return sum(_measure(paths).values())


def _measure(paths: Iterable[str]) -> dict[str, int]:
    """The bytes that the host gives each of the existing files."""
    return {path: Path(path).stat().st_blocks * 512 for path in paths if Path(path).exists()}
