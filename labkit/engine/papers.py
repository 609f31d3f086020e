"""The files that the commands of a plan read, for people who type them: definitions in XML, and links to guest images.

A step names the files; they are written here, each with the text that the step itself would give to libvirt. Later
steps build on what earlier ones leave, so definitions and snapshots are read once and then changed step by step.
Knows: the session, the steps. Must not know: how a step is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from labkit.engine.mapping import build_waking_xml
from labkit.engine.session import Session
from labkit.engine.steps.warm import build_fresh_xml
from labkit.errors import Refused
from labkit.hypervisor import snapshot_xml
from labkit.hypervisor.backups import build_backup_xml
from labkit.hypervisor.clone_xml import clone_domain_xml, clone_snapshot_xml
from labkit.hypervisor.domain_xml import (
    build_disk_xml,
    build_domain_xml,
    change_domain_xml,
    rename_in_domain_xml,
    repoint_in_domain_xml,
)
from labkit.hypervisor.migration import read_moving
from labkit.hypervisor.snapshot_definitions import definition_from_xml, read_restored, revived_xml
from labkit.hypervisor.sockets import instance_folder, place_sockets
from labkit.model.machine import DiskSpec
from labkit.plans.plan import Folder, Plan
from labkit.plans.steps import (
    AttachDisk,
    BackUpDisks,
    ConfigureMachine,
    CopySnapshots,
    DefineAdopted,
    DefineClones,
    DefineFromSnapshot,
    DefineMachine,
    ForgetSnapshot,
    MigrateMachine,
    RelabelSnapshot,
    RenameMachine,
    RepointDisk,
    RestoreMemory,
    ReviveSnapshot,
    Step,
    TakeSnapshot,
    WakeClones,
    WakeFresh,
)
from labkit.storage.files import host_errors


def write_papers(session: Session, plan: Plan, folder: str | Folder) -> tuple[str, ...]:
    """Write the files that a plan's commands read; existing files of these names are overwritten.

    Args:
        folder: an existing one.

    Returns:
        The names of the files in it.

    Raises:
        Refused: the plan is a refusal. NotFound: what it is about is gone. HostTrouble: a file cannot be written.
    """
    if plan.refusal:
        raise Refused(plan.refusal.why, plan.refusal.hint, plan=plan)
    place, texts = Path(folder), _Texts(session)
    with host_errors(place):
        for step in plan.steps:
            for name, text in zip(step.papers, texts.of(step), strict=True):
                (place / name).write_text(text)
        for name, path in plan.links.items():
            link = place / name
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return (*plan.papers, *plan.links)


class _Texts:
    """The texts of a plan's steps, in their order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection = session.connection
        self._definitions: dict[str, str] = {}
        self._trees: dict[str, dict[str, str]] = {}

    def of(self, step: Step) -> Iterable[str]:
        """Return the texts of the files that a step's command reads, in the order of its papers."""
        match step:
            case DefineMachine():
                return [self._define(step.spec.id, build_domain_xml(step.spec))]
            case ConfigureMachine():
                configured = change_domain_xml(self._definition(step.machine_id), step.changes)
                return [self._define(step.machine_id, configured)][: len(step.papers)]
            case RenameMachine():
                renamed = rename_in_domain_xml(self._definition(step.machine_id), step.new, domain=step.new_domain)
                return [self._define(step.machine_id, renamed)]
            case RepointDisk():
                return [self._repoint(step.machine_id, [step.disk])]
            case AttachDisk():
                return [build_disk_xml(step.disk)]
            case TakeSnapshot():
                self._tree(step.machine_id)[step.name] = snapshot_xml.keep_definition(self._definition(step.machine_id))
                text = self._repoint(step.machine_id, step.overlays)
                return [text] if step.papers else []
            case DefineFromSnapshot():
                kept, now = self._tree(step.machine_id)[step.snapshot], self._definition(step.machine_id)
                return [self._define(step.machine_id, definition_from_xml(kept, now, step.disks, step.accelerator))]
            case RestoreMemory():
                running = read_restored(self._connection, step.memory, step.disks)
                return [running, self._definition(step.machine_id)]
            case ForgetSnapshot():
                return self._forget(step.machine_id, step.snapshot, step.children)
            case RelabelSnapshot():
                tree = self._tree(step.machine_id)
                new = step.new if step.new != step.old else None
                text = snapshot_xml.rename_in_snapshot_xml(tree[step.old], name=new, description=step.description)
                tree[step.new] = text
                return [text, *(self._reparent(step.machine_id, step.children, step.new) if new else ())]
            case ReviveSnapshot():
                return [revived_xml(step.xml, step.snapshot, step.parent)]
            case DefineClones():
                source = self._definition(step.source_id)
                if step.snapshot is not None:
                    source = snapshot_xml.definition_in_snapshot_xml(self._tree(step.source_id)[step.snapshot])
                return [self._define(spec.id, clone_domain_xml(source, spec)) for spec in step.specs]
            case CopySnapshots():
                tree, paths = self._tree(step.source_id), dict(step.paths)
                return [clone_snapshot_xml(tree[name], step.spec, paths) for name in step.names]
            case BackUpDisks():
                return [build_backup_xml({disk.target: (disk.path, disk.format) for disk in step.disks})]
            case MigrateMachine():
                there = instance_folder(step.to_uri)
                moving = [read_moving(self._connection, step.machine_id, there)] if step.live else []
                return [*moving, place_sockets(self._definition(step.machine_id), there)]
            case WakeClones() if step.papers:
                memory, runtime = Path(step.memory), self._connection.runtime
                return [build_waking_xml(memory, spec, runtime) for spec in step.specs]
            case WakeFresh():
                return [build_fresh_xml(step, self._definition(step.spec.id), self._connection.runtime)]
            case DefineAdopted():
                return [self._define(step.spec.id, step.xml), *(record.xml for record in step.records)]
            case _:
                return []

    def _definition(self, machine_id: str) -> str:
        if machine_id not in self._definitions:
            self._definitions[machine_id] = self._session.domains.xml(machine_id)
        return self._definitions[machine_id]

    def _define(self, machine_id: str, xml: str) -> str:
        self._definitions[machine_id] = place_sockets(xml, self._connection.runtime)
        return self._definitions[machine_id]

    def _repoint(self, machine_id: str, disks: Iterable[DiskSpec]) -> str:
        text = self._definition(machine_id)
        for disk in disks:
            text = repoint_in_domain_xml(text, disk)
        return self._define(machine_id, text)

    def _tree(self, machine_id: str) -> dict[str, str]:
        if machine_id not in self._trees:
            self._trees[machine_id] = self._session.executor.snapshots.read_texts(machine_id)
        return self._trees[machine_id]

    def _forget(self, machine_id: str, name: str, children: Iterable[str]) -> list[str]:
        gone = self._tree(machine_id).pop(name)
        return self._reparent(machine_id, children, snapshot_xml.parent_in_snapshot_xml(gone))

    def _reparent(self, machine_id: str, children: Iterable[str], parent: str | None) -> list[str]:
        tree = self._tree(machine_id)
        moved = {child: snapshot_xml.reparent_in_snapshot_xml(tree[child], parent) for child in children}
        tree.update(moved)
        return list(moved.values())
