"""Measuring what plans to migrate, export and import need to know.

Knows: where to measure. Must not know: what plans make of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.engine.archives import ArrivalIdentity, adopt
from labkit.engine.session import Session
from labkit.engine.survey import find_bad_memories, find_broken, survey_host
from labkit.errors import LabError
from labkit.hypervisor.migration import read_definitions, read_records
from labkit.model.state import LabState
from labkit.model.travel import Manifest
from labkit.plans.exporting import ExportSurvey
from labkit.plans.importing import Arrival, ImportSurvey
from labkit.plans.migration import MigrationSurvey
from labkit.storage.files import free_bytes


def survey_migration(here: Session, to: Session, state: LabState, machine: str) -> MigrationSurvey:
    """Return the survey for a migration: what the hypervisor keeps here, and whether the other side can take it."""
    facts = state.machines[machine]
    same_lab = here.workspace == to.workspace and here.sides is to.sides
    nodes = state.snapshots.get(machine, {}).values()
    boots = [spec.boot for spec in (facts.spec, *(node.spec for node in nodes))]
    needed = {path for boot in boots for path in (boot.kernel, boot.initramfs) if path}
    taken: frozenset[str] = frozenset()
    reached = not to.closed
    if same_lab and reached:
        try:
            taken = frozenset(to.domains.read_all(state.lab_id)[1])
        except LabError:
            reached = False
    own = to.instances.own
    return MigrationSurvey(
        to=own,
        to_uri=to.instances.uri_of(own),
        arrival=str(to.instances.arrival(own, facts.id)),
        same_lab=same_lab,
        reached=reached,
        taken_names=taken,
        records=read_records(here.connection, facts.id),
        lost=frozenset(path for path in needed if not Path(path).exists()),
        changed=find_broken(here.workspace, state),
    )


def survey_export(session: Session, state: LabState, machine: str, target: Path) -> ExportSurvey:
    """Return the survey for an export.

    Args:
        target: the file it would write.
    """
    facts, nodes = state.machines[machine], state.tree_of(machine)
    xml, records = read_definitions(session.connection, facts.id)
    specs = [facts.spec, *(node.spec for node in nodes.values())]
    others = {path for spec in specs for path in (spec.boot.kernel, spec.boot.initramfs) if path}
    others |= {node.memory for node in nodes.values() if node.memory}
    images = {file for image in state.images.values() for file in image.files}
    there = {path: os.stat(path) for path in images | others if os.path.exists(path)}
    return ExportSurvey(
        free_bytes=free_bytes(target.parent) if target.parent.is_dir() else 0,
        xml=xml,
        records=records,
        exists=os.path.lexists(target),
        no_folder=not target.parent.is_dir(),
        lengths={path: info.st_size for path, info in there.items()},
        allocated={path: there[path].st_blocks * 512 for path in others & there.keys()},
        changed=find_broken(session.workspace, state),
        memories=find_bad_memories(
            session.workspace, nodes.values(), lambda name: records[name][1] or records[name][0]
        ),
    )


def survey_import(
    session: Session, state: LabState, path: Path, manifest: Manifest, identity: ArrivalIdentity
) -> tuple[ImportSurvey, Arrival]:
    """Return the survey for an import, and the machine as it would be here.

    Args:
        path: the archive. manifest: its manifest. identity: the names and ids that the machine gets.

    Raises:
        BadInput: one of its texts is not the definition of a machine.
    """
    workspace = session.workspace
    host = survey_host(workspace)
    boots = workspace.images / "blobs"
    arrival = adopt(state, path, manifest, identity, boot_folder=str(boots), accelerator=host.accelerator)
    survey = ImportSurvey(
        free_bytes=free_bytes(workspace.home),
        host_memory=host.host_memory,
        host_cpus=host.host_cpus,
        accelerator=host.accelerator,
        taken_ids=session.domains.read_ids() | frozenset(facts.id for facts in state.elsewhere.values()),
        boot_folder=str(boots),
        there=frozenset(map(str, boots.glob("*"))),
    )
    return survey, arrival
