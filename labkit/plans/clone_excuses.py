"""Why a machine cannot be cloned as asked: one pure function for each reason, None where there is none.

Knows: the model. Must not know: which steps a clone has.
"""

from __future__ import annotations

from dataclasses import replace

from labkit.language import _, ngettext
from labkit.model.disk import chain
from labkit.model.machine import DiskSpec, MachineFacts
from labkit.model.state import LabState
from labkit.plans.broken import why_broken
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, origin_of
from labkit.plans.instant import why_not_instant
from labkit.plans.machine_excuses import why_not_name
from labkit.plans.refusal import Refusal
from labkit.plans.shifted import why_shifted
from labkit.plans.snapshot_excuses import why_not_there
from labkit.units import format_size


def why_not_clone(state: LabState, survey: CloneSurvey, request: CloneRequest) -> Refusal | None:
    """Return why the clones asked for cannot be made."""
    source = state.machines[request.machine]
    tree = state.tree_of(request.machine)
    refusal = _why_not_such(request) or _why_not_named(state, request)
    if refusal is None and request.snapshot is not None:
        refusal = why_not_there(source, tree, request.snapshot)  # there is no such snapshot, or a foreign one
    if refusal:
        return refusal
    origin = origin_of(state, request)
    disks = [*origin.disks]
    if request.snapshots:
        disks += [disk for node in tree.nodes.values() for disk in node.disks]
    used = [node for name, node in tree.nodes.items() if request.snapshots or name == request.snapshot]
    return (
        _why_served(disks)
        or why_shifted(state, request.machine, used)
        or why_broken(state, request.machine, disks, survey.changed)
        or (why_not_instant(state, survey, request) if request.instant else _why_too_many(survey, request, source))
        or (_why_too_deep(state, survey, disks) if request.kind is CloneKind.LINKED else None)
    )


def _why_not_such(request: CloneRequest) -> Refusal | None:
    if request.snapshots and request.kind is CloneKind.LINKED:
        return Refusal(
            why=_("A linked clone stands on one snapshot and has no tree of its own."),
            ways_out=(_('Make a full one: kind="full".'), _("Or leave out snapshots=True.")),
        )
    if request.snapshots and request.snapshot is not None:
        return Refusal(
            why=_("Either the whole tree of snapshots is cloned, or one of them: not both."),
            ways_out=(_("Leave out snapshots=True, or the snapshot's name."),),
        )
    return None


def _why_not_named(state: LabState, request: CloneRequest) -> Refusal | None:
    for name in request.names:
        if refusal := why_not_name(state, name):
            return replace(refusal, ways_out=(_("Choose another name."),))
    twice = next((name for name in request.names if request.names.count(name) > 1), None)
    if twice is None:
        return None
    return Refusal(
        why=_("Two clones would be named {name!r}.").format(name=twice), ways_out=(_("Choose another name."),)
    )


def _why_served(disks: list[DiskSpec]) -> Refusal | None:
    served = next((disk.name for disk in disks if disk.served), None)
    if served is None:
        return None
    return Refusal(
        why=_("{disk} is served by another program, and cannot be copied with its machine.").format(disk=served),
        ways_out=(_("Detach it first."),),
    )


def _why_too_many(survey: CloneSurvey, request: CloneRequest, source: MachineFacts) -> Refusal | None:
    count, memory = len(request.clones), source.spec.memory
    if count == 1 or count * memory <= survey.host_memory:
        return None
    return Refusal(
        why=ngettext(
            "{count} clone would have {needed} of memory, and this host has {host}.",
            "{count} clones would have {needed} of memory together, and this host has {host}.",
            count,
        ).format(count=count, needed=format_size(count * memory), host=format_size(survey.host_memory)),
        ways_out=(_("Make at most {count}.").format(count=max(1, survey.host_memory // memory)),),
    )


def _why_too_deep(state: LabState, survey: CloneSurvey, disks: list[DiskSpec]) -> Refusal | None:
    deepest = max((len(chain(state.images, disk.path)) for disk in disks), default=0)
    if deepest < survey.deepest:
        return None
    return Refusal(
        why=ngettext(
            "A disk has {count} layer already: with one more the clone could not start.",
            "A disk has {count} layers already: with one more the clone could not start.",
            deepest,
        ).format(count=deepest),
        ways_out=(_('Make a full clone: kind="full".'), _("Or flatten the original first.")),
    )
