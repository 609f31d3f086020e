"""Measuring what plans to clone, flatten and relink need to know.

Knows: where to measure. Must not know: what plans make of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from labkit.engine import inside, mapping, seals
from labkit.engine.handle import Handle
from labkit.engine.session import Session
from labkit.engine.survey import find_broken, free_memory, survey_host, survey_snapshots
from labkit.model.state import LabState
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, Mapping
from labkit.plans.flatten import FlattenSurvey, RelinkSurvey
from labkit.storage.contents import hash_file
from labkit.storage.files import can_share_blocks, free_bytes


def survey_clone(session: Session, *, reflinks: bool = True) -> CloneSurvey:
    """Return the survey for plans of clones, as far as it needs neither the guest nor its images.

    Args:
        reflinks: whether to try out if the file system can share blocks.
    """
    workspace = session.workspace
    return CloneSurvey(
        free_bytes=free_bytes(workspace.home),
        host_memory=survey_host(workspace).host_memory,
        free_memory=free_memory(),
        reflinks=reflinks and can_share_blocks(workspace.disks),
    )


def survey_clones(original: Handle, state: LabState, request: CloneRequest) -> CloneSurvey:
    """Return the survey for the plan of these clones."""
    session = original.session
    copying = request.snapshot is None and state.machines[request.machine].is_active
    return replace(
        survey_clone(session, reflinks=request.kind is CloneKind.FULL and request.reflink),
        snapshots=survey_snapshots(original, state, request.machine) if request.instant else None,
        mapping=_find_mapping(original, state, request),
        quiesce=copying and inside.answers(original),
        changed=find_broken(session.workspace, state),
    )


def _find_mapping(original: Handle, state: LabState, request: CloneRequest) -> Mapping:
    node = state.tree_of(request.machine).nodes.get(request.snapshot or "")
    if not request.instant or node is None or node.memory is None or original.domains.connection.runtime is None:
        return Mapping.NO
    memory = Path(node.memory)
    if mapping.is_whole(memory):
        return Mapping.READY
    return Mapping.CAN_BE_MADE if mapping.can_be_mapped(memory) else Mapping.NO


def survey_flatten(session: Session, state: LabState) -> FlattenSurvey:
    """Return the survey for a plan to flatten a clone."""
    workspace = session.workspace
    return FlattenSurvey(free_bytes=free_bytes(workspace.home), changed=find_broken(workspace, state))


def survey_relink(session: Session, state: LabState, path: Path) -> RelinkSurvey:
    """Return the survey for a plan to relink: what the given file holds, and the seals.

    Args:
        path: the file that the image would be brought back from.
    """
    folder = session.workspace.disks
    info = path.stat()
    seals.complete(folder, largest=max(info.st_size, seals.HASH_SOON))
    return RelinkSurvey(
        free_bytes=free_bytes(folder),
        size=info.st_size,
        allocated=info.st_blocks * 512,
        sha256=hash_file(path),
        seals={str(folder / each): seal.sha256 for each, seal in seals.find_seals(folder).items() if seal.sha256},
        changed=find_broken(session.workspace, state),
    )
