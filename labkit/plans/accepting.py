"""Plans that accept changed frozen images as they are now: they are made read-only and sealed again.

Their content is not written to. Accepting is the way out where no copy of the old content is left. It is an act of its
own, since every snapshot and clone on such an image reads the new content from then on.
Knows: the lineage, steps. Must not know: how a change is found, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Container, Iterable

from labkit.language import _, ngettext
from labkit.model.disk import DiskFacts
from labkit.model.lineage import read_lineage
from labkit.model.state import LabState
from labkit.model.ways import ways_off
from labkit.model.words import state_word
from labkit.plans.broken import find_frozen_of, find_unsealed
from labkit.plans.disk import disk_plan
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import FreezeImages, Step


def plan_accept(state: LabState, changed: Container[str], machine: str) -> Plan:
    """Plan to accept what the frozen images of a machine and its snapshots hold.

    Args:
        changed: the frozen images that are no longer what they were, and those without a seal.
    """
    frozen = find_frozen_of(state, machine)
    refusal = _why_not_sealed(state, machine, {path for path in frozen if path in changed})
    steps, notes = ((), ()) if refusal else seal_as_they_are(state, frozen, changed)
    return make_plan("accept", state, machine, names=[machine], steps=steps, refusal=refusal, notes=notes)


def _why_not_sealed(state: LabState, machine: str, changed: Collection[str]) -> Refusal | None:
    """Why a changed image cannot be sealed: a guest is just writing to it, since another program put it there."""
    facts = state.machines[machine]
    written = [disk.path for disk in (facts.live or facts.spec).disks if disk.path in changed]
    if not facts.is_active or not written:
        return None
    return Refusal(
        why=_("{machine} is {state} and writes to the frozen image {file}: it would not stay as it is now.").format(
            machine=machine, state=state_word(facts.state), file=posixpath.basename(written[0])
        ),
        ways_out=(ways_off(facts),),
    )


def say_seals_are_gone(state: LabState) -> tuple[str, str] | None:
    """Return the sentence to say if all seals of a lab are gone, with what to do; None if they are there."""
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


def plan_accept_disk(state: LabState, changed: Container[str], disk: DiskFacts) -> Plan:
    """Plan to accept what the frozen images below a disk hold, as `plan_accept` does."""
    steps, notes = seal_as_they_are(state, (layer.path for layer in disk.layers), changed)
    machines = (disk.machine,) if disk.machine else ()
    return disk_plan("accept", state, disk.name, machines=machines, steps=steps, notes=notes)


def seal_as_they_are(
    state: LabState, paths: Iterable[str], changed: Container[str]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return the step that seals the changed ones among some images as they are now, if any, and notes for the plan.

    If all seals are gone, all images count as changed.
    """
    unsealed = find_unsealed(state)
    chosen = sorted(path for path in paths if path in changed or path in unsealed)
    files = tuple(file for path in chosen for file in state.images[path].files)
    return (FreezeImages(paths=files),) if files else (), _notes(state, chosen)


def _notes(state: LabState, paths: Iterable[str]) -> tuple[str, ...]:
    lineage = read_lineage(state)
    notes = []
    for path in paths:
        readers = ", ".join(map(str, lineage.dependants(path))) or _("nobody")
        notes.append(
            _("{file} counts as it is now; what it was is given up. It is read by: {names}.").format(
                file=posixpath.basename(path), names=readers
            )
        )
    return tuple(notes) or (_("Every frozen image that can be read is what it was."),)
