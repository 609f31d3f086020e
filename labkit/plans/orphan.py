"""Plans for files that nobody needs: bring one back as a free disk, or discard it.

Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from labkit.language import _
from labkit.model.image import Format
from labkit.model.orphan import OrphanFacts
from labkit.model.state import LabState
from labkit.plans.disk import disk_plan
from labkit.plans.disk_excuses import why_not_name
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan, Refusal
from labkit.plans.steps import CreateOverlay, DeleteFiles, FreezeImages, Step


def plan_adopt(state: LabState, orphan: OrphanFacts, name: str) -> Plan:
    """Plan a free disk with what an orphan holds: a new image on it, so that the file itself stays as it is."""
    image = state.images.get(orphan.path)
    refusal = why_not_name(state, name)
    if image is None:
        refusal = Refusal(
            why=_("{file} is not a disk image: no disk can be made of it.").format(file=orphan.name),
            ways_out=(_("Copy it elsewhere if you want to keep it, then discard it."),),
        )
    elif image.backing is not None and image.backing not in state.images:
        refusal = Refusal(
            why=_("{file} stands on {base}, which is gone.").format(
                file=orphan.name, base=posixpath.basename(image.backing)
            ),
            ways_out=(_("Bring that file back first: without it the content is lost."),),
        )
    if refusal or image is None:
        return disk_plan("adopt", state, name, orphan.disk, machines=_holder(orphan), refusal=refusal)
    path = next_image_path(state, name, Format.QCOW2)
    steps: list[Step] = [CreateOverlay(path=path, backing=image.path, backing_format=image.format)]
    if not image.frozen:
        steps.append(FreezeImages(paths=image.files))
    note = _("The disk {name} is what {file} holds, and stands on it.").format(name=name, file=orphan.name)
    return disk_plan("adopt", state, name, orphan.disk, machines=_holder(orphan), steps=steps, notes=[note])


def plan_discard(state: LabState, orphans: Sequence[OrphanFacts], subject: str) -> Plan:
    """Plan to delete orphans for good; one that others stand on goes only together with them."""
    going = {orphan.path for orphan in orphans}
    for orphan in orphans:
        left = [posixpath.basename(path) for path in orphan.above if path not in going]
        if left:
            why = _("{names} stand on {file}.").format(names=", ".join(left), file=orphan.name)
            ways = (_("Discard those first, or all orphans at once: lab.orphans.discard()."),)
            return _discarding(state, orphans, subject, refusal=Refusal(why=why, ways_out=ways, dependants=tuple(left)))
    files = tuple(file for orphan in _from_the_top(orphans) for file in orphan.files)
    steps = [DeleteFiles(paths=files, bytes=sum(orphan.allocated for orphan in orphans))] if files else []
    return _discarding(state, orphans, subject, steps=steps)


def _from_the_top(orphans: Sequence[OrphanFacts]) -> list[OrphanFacts]:
    """Orphans in an order in which each goes before what it stands on."""
    known = {orphan.path: orphan for orphan in orphans}

    def height(orphan: OrphanFacts) -> int:
        return 1 + max((height(known[path]) for path in orphan.above if path in known), default=0)

    return sorted(orphans, key=height)


def _discarding(
    state: LabState,
    orphans: Sequence[OrphanFacts],
    subject: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
) -> Plan:
    disks = tuple(sorted({orphan.disk for orphan in orphans if orphan.disk}))
    machines = tuple(sorted({orphan.machine for orphan in orphans if orphan.machine}))
    notes = [_("What they hold is lost for good.")] if steps else []
    return Plan(
        act="discard",
        subject=subject,
        home=state.home,
        names=machines,
        disks=disks,
        basis=state.fingerprint(machines, disks),
        steps=tuple(steps),
        refusal=refusal,
        notes=tuple(notes),
    )


def _holder(orphan: OrphanFacts) -> tuple[str, ...]:
    return (orphan.machine,) if orphan.machine else ()
