"""Why a snapshot is not used: libvirt has exchanged its images, so it would bring back what another snapshot kept.

If another program makes libvirt forget a snapshot (`virsh snapshot-delete --metadata`), libvirt 9.0 believes that the
images were merged, and lets the snapshots after it name the images of the forgotten one. The lab's record still says
which images they were taken of.
Knows: the model. Must not know: how the record is read, which acts ask.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from labkit.language import _
from labkit.model.orphan import find_orphans
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans.naming import numbered
from labkit.plans.refusal import Refusal


def why_shifted(state: LabState, machine: str, snapshots: Iterable[SnapshotFacts]) -> Refusal | None:
    """Return why the snapshots of a machine are not those that were taken, with the way to have them back; or None."""
    return next(filter(None, (_why_shifted(state, machine, snapshot) for snapshot in snapshots)), None)


def _why_shifted(state: LabState, machine: str, snapshot: SnapshotFacts) -> Refusal | None:
    then = _find_images(state, machine, snapshot)
    now = [disk.path for disk in snapshot.disks if disk.path not in then]
    moved = sorted(set(then) - {disk.path for disk in snapshot.disks})
    if not moved:
        return None
    orphans = find_orphans(state).values()
    tree = state.every_tree.get(machine, SnapshotTree())
    key = next((each.name for each in orphans if set(each.files) & set(then) and each.snapshot == snapshot.name), None)
    back = f'lab.orphans["{key}"].adopt_as_snapshot("{numbered(snapshot.name, tree)}")'
    delete = f'lab.machines["{machine}"].snapshots.delete("{snapshot.name}")'
    return Refusal(
        why=_(
            "{name} is not what was taken: another program made libvirt forget a snapshot before it, and libvirt then "
            "let it name {now} instead of {then}."
        ).format(name=snapshot.name, now=_names(now), then=_names(moved)),
        ways_out=(
            *([_("Have it back as it was: {call}.").format(call=back)] if key else []),
            _("Then delete the wrong one: {call}.").format(call=delete),
        ),
    )


def _find_images(state: LabState, machine: str, snapshot: SnapshotFacts) -> tuple[str, ...]:
    """The images that the record says a snapshot was taken of; empty where it says nothing else than libvirt."""
    facts = state.everywhere[machine]
    return tuple(
        path
        for path, point in state.forgotten.items()
        if (point.machine_id, point.snapshot, point.created) == (facts.id, snapshot.name, snapshot.created)
    )


def _names(paths: Iterable[str]) -> str:
    return ", ".join(map(posixpath.basename, paths))
