"""Plans that take changed frozen images for what they are now: they are closed for writing and sealed anew.

Nothing in them is written. It is the way out where no copy of the old content is left, and an act of its own, since
every snapshot and clone on such an image reads the new content from then on.
Knows: the lineage, steps. Must not know: how a change is noticed, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable

from labkit.language import _, ngettext
from labkit.model.disk import DiskFacts
from labkit.model.lineage import read_lineage
from labkit.model.state import LabState
from labkit.plans.broken import find_frozen_of, find_unsealed
from labkit.plans.disk import disk_plan
from labkit.plans.plan import Plan
from labkit.plans.steps import FreezeImages


def plan_accept(state: LabState, changed: Collection[str], machine: str) -> Plan:
    """Plan to accept what the frozen images of a machine and its snapshots hold.

    Args:
        changed: the frozen images that no longer are what they were; those without any seal count too.
    """
    paths = _choose(find_frozen_of(state, machine), {*changed, *find_unsealed(state)})
    step = _sealing(state, paths)
    return Plan(
        act="accept",
        subject=machine,
        home=state.home,
        names=(machine,),
        basis=state.fingerprint((machine,)),
        steps=(step,) if paths else (),
        notes=_notes(state, paths),
    )


def say_seals_are_gone(state: LabState) -> tuple[str, str] | None:
    """Return what is to be said where all seals of a lab are gone, and how one goes on; None: they are there."""
    frozen = find_unsealed(state)
    if not frozen:
        return None
    owner = next((name for name in state.machines if find_frozen_of(state, name) & frozen), None)
    call = f'lab.machines["{owner}"].snapshots.accept_changes()' if owner else "disk.accept_changes()"
    what = ngettext(
        "The seals of this lab are gone (seals.json): of its {count} frozen image nobody knows what it was.",
        "The seals of this lab are gone (seals.json): of its {count} frozen images nobody knows what they were.",
        len(frozen),
    )
    how = _("Bring the file back from a backup of the lab's folder; or let the images count as they are now: {call}.")
    return what.format(count=len(frozen)), how.format(call=call)


def plan_accept_disk(state: LabState, changed: Collection[str], disk: DiskFacts) -> Plan:
    """Plan to accept what the frozen images below a disk hold, as `plan_accept` does."""
    paths = _choose((layer.path for layer in disk.layers), {*changed, *find_unsealed(state)})
    machines = (disk.machine,) if disk.machine else ()
    steps = [_sealing(state, paths)] if paths else []
    return disk_plan("accept", state, disk.name, machines=machines, steps=steps, notes=_notes(state, paths))


def _choose(paths: Iterable[str], changed: Collection[str]) -> list[str]:
    return sorted(path for path in paths if path in changed)


def _sealing(state: LabState, paths: Iterable[str]) -> FreezeImages:
    return FreezeImages(paths=tuple(file for path in paths for file in state.images[path].files))


def _notes(state: LabState, paths: Iterable[str]) -> tuple[str, ...]:
    lineage = read_lineage(state)
    notes = []
    for path in paths:
        readers = ", ".join(map(str, lineage.dependants(path)))
        notes.append(
            _("{file} counts as it is now; what it was is given up. It is read by: {names}.").format(
                file=posixpath.basename(path), names=readers
            )
        )
    return tuple(notes) or (_("Every frozen image that can be read is what it was."),)
