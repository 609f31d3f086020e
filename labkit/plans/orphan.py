"""Plans for files that nobody needs: bring one back as a free disk or as the snapshot it was, or discard it.

Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from labkit.language import _, ngettext
from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from labkit.model.orphan import OrphanFacts, OrphanKind, find_point
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans.disk import disk_plan
from labkit.plans.disk_excuses import why_not_name
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan, Refusal
from labkit.plans.snapshot.common import make_plan
from labkit.plans.snapshot_excuses import why_not_named
from labkit.plans.steps import CreateOverlay, DeleteFiles, FreezeImages, ReviveSnapshot, Step


def plan_adopt(state: LabState, orphan: OrphanFacts, name: str) -> Plan:
    """Plan a free disk with what an orphan holds: a new image on it, so that the file itself stays as it is."""
    image = state.images.get(orphan.path)
    refusal = why_not_name(state, name)
    if image is None:
        refusal = Refusal(
            why=_("{file} is not a disk image: no disk can be made of it.").format(file=orphan.name),
            ways_out=(_("Let its machine have the snapshot again: adopt_as_snapshot()."),)
            if orphan.snapshot
            else (_("Copy it elsewhere if you want to keep it, then discard it."),),
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


def plan_revive(state: LabState, orphan: OrphanFacts, name: str | None) -> Plan:
    """Plan to make the snapshot known again that an orphan was kept by, with all its images and its memory.

    Args:
        name: the snapshot's from now on; None: the one it had.
    """
    point = find_point(state, orphan.path)
    if point is None or orphan.machine is None or orphan.snapshot is None:
        unknown = Refusal(
            why=_("The lab's record knows no snapshot that kept {file}.").format(file=orphan.name),
            ways_out=(_("Bring it back as a free disk: adopt()."),) if orphan.kind is OrphanKind.IMAGE else (),
        )
        return _discarding(state, [orphan], orphan.name, refusal=unknown, act="adopt")
    machine, wanted = orphan.machine, name or orphan.snapshot
    tree = state.snapshots.get(machine, SnapshotTree())
    parts = [
        path for path, each in state.forgotten.items() if (each.machine_id, each.xml) == (point.machine_id, point.xml)
    ]
    lost = [posixpath.basename(path) for path in parts if path not in state.images]
    refusal = why_not_named(tree, wanted)
    if lost:
        refusal = Refusal(
            why=ngettext(
                "{name} cannot come back: {files} of it is gone.",
                "{name} cannot come back: {files} of it are gone.",
                len(lost),
            ).format(name=wanted, files=", ".join(lost)),
            ways_out=(_("Bring what is left back as a free disk: adopt()."),),
        )
    if point.why_not_trusted:
        refusal = Refusal(
            why=_("{name} is in the lab's record only, and is not given to the hypervisor: {why}").format(
                name=wanted, why=point.why_not_trusted
            ),
            ways_out=(_("Bring its images back as free disks: adopt()."),),
        )
    facts = state.machines[machine]
    step = ReviveSnapshot(
        machine_id=facts.id,
        domain=facts.spec.domain_name,
        snapshot=wanted,
        xml=point.xml,
        parent=point.parent if point.parent in tree else None,
        frozen=tuple(
            DiskSpec(name=state.forgotten[path].disk, target="", path=path, format=state.images[path].format)
            for path in parts
            if path in state.images
        ),
    )
    open_ones = tuple(file for path in parts if path in state.images for file in state.images[path].files)
    steps: list[Step] = [step, FreezeImages(paths=open_ones)]
    note = _("{machine} can be restored to {name} again.").format(machine=machine, name=wanted)
    return make_plan("adopt", state, machine, wanted, steps=steps, refusal=refusal, notes=[note])


def plan_discard(state: LabState, orphans: Sequence[OrphanFacts], subject: str) -> Plan:
    """Plan to delete orphans for good; one that others stand on goes only together with them."""
    going = {orphan.path for orphan in orphans}
    for orphan in orphans:
        left = [posixpath.basename(path) for path in orphan.above if path not in going]
        if left:
            why = ngettext("{names} stands on {file}.", "{names} stand on {file}.", len(left)).format(
                names=", ".join(left), file=orphan.name
            )
            ways = (_("Discard what stands on it first, or all orphans at once: lab.orphans.discard()."),)
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
    act: str = "discard",
) -> Plan:
    disks = tuple(sorted({orphan.disk for orphan in orphans if orphan.disk}))
    machines = tuple(sorted({orphan.machine for orphan in orphans if orphan.machine}))
    notes = [_("What they hold is lost for good.")] if steps else []
    return Plan(
        act=act,
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
