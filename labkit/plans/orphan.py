"""Plans for files that nobody needs: bring one back as a free disk or as the snapshot it was, or discard it.

Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from labkit.language import _, ngettext
from labkit.model.disk import chain, disk_name
from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from labkit.model.orphan import OrphanFacts, OrphanKind, find_point, parts_of
from labkit.model.record import LostPoint
from labkit.model.state import LabState, alive_among
from labkit.plans.accepting import seal_as_they_are
from labkit.plans.broken import why_broken
from labkit.plans.disk import disk_plan
from labkit.plans.disk_excuses import why_not_name
from labkit.plans.memory_excuses import describe_fault
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot.common import snapshot_plan
from labkit.plans.snapshot_excuses import why_not_named
from labkit.plans.snapshot_survey import MemoryFault
from labkit.plans.steps import CreateOverlay, DeleteFiles, FreezeImages, ReviveSnapshot, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanSurvey:
    """What had to be measured for a plan about an orphan.

    Attributes:
        changed: the frozen images that another program has written to, including orphans.
        bad_memories: what is wrong with the memory file of the snapshot that kept it, by path.
        why_not_back: why the forgotten machine that it belongs to cannot come back; "" if it can.
    """

    changed: frozenset[str] = frozenset()
    bad_memories: Mapping[str, MemoryFault] = field(default_factory=dict)
    why_not_back: str = ""


def plan_adopt(state: LabState, survey: OrphanSurvey, orphan: OrphanFacts, name: str) -> Plan:
    """Plan a free disk with an orphan's content: a new image on top of it, so that the file itself stays as it is."""
    image = state.images.get(orphan.path)
    if image is None:
        refusal: Refusal | None = Refusal(
            why=_("{file} is not a disk image: no disk can be made of it.").format(file=orphan.name),
            ways_out=(_("Let its machine have the snapshot again: adopt_as_snapshot()."),)
            if orphan.snapshot
            else (_("Copy it elsewhere if you want to keep it, then discard it."),),
        )
    else:
        refusal = (
            _why_of_a_machine(survey, orphan)
            or _why_broken(state, survey, orphan, [image.path])
            or why_not_name(state, name)
        )
    if refusal or image is None:
        return disk_plan("adopt", state, name, orphan.disk, machines=_holder(orphan), refusal=refusal)
    path = next_image_path(state, name, Format.QCOW2)
    steps: list[Step] = [
        CreateOverlay(path=path, backing=image.path, backing_format=image.format),
        FreezeImages(paths=image.files, known=True),
    ]
    note = _("The disk {name} is what {file} holds, and stands on it.").format(name=name, file=orphan.name)
    return disk_plan("adopt", state, name, orphan.disk, machines=_holder(orphan), steps=steps, notes=[note])


def plan_revive(state: LabState, survey: OrphanSurvey, orphan: OrphanFacts, name: str | None) -> Plan:
    """Plan to bring back the snapshot that kept an orphan, with all its images and its memory.

    Args:
        name: the snapshot's new name; None: the one it had.
    """
    point = find_point(state, orphan.path)
    if point is None or orphan.machine is None or orphan.snapshot is None:
        unknown = Refusal(
            why=_("The lab's record knows no snapshot that kept {file}.").format(file=orphan.name),
            ways_out=(_("Bring it back as a free disk: adopt()."),) if orphan.kind is OrphanKind.IMAGE else (),
        )
        return _of_orphans("adopt", state, [orphan], orphan.name, refusal=unknown)
    machine, wanted = orphan.machine, name or orphan.snapshot
    tree = state.tree_of(machine)
    facts, parts = state.machines[machine], parts_of(state, point)
    frozen = _specs(state, parts)
    step = ReviveSnapshot(
        machine_id=facts.id,
        domain=facts.spec.domain_name,
        snapshot=wanted,
        xml=point.xml,
        parent=point.parent if point.parent in tree else None,
        frozen=frozen,
        memory=point.memory,
    )
    files = tuple(file for disk in frozen for file in state.images[disk.path].files)
    steps: list[Step] = [step, FreezeImages(paths=files, known=True)]
    refusal = _why_not_back(state, survey, orphan, point, wanted) or why_not_named(tree, wanted)
    note = _("{machine} can be restored to {name} again.").format(machine=machine, name=wanted)
    return snapshot_plan("adopt", state, machine, wanted, steps=steps, refusal=refusal, notes=[note])


def _specs(state: LabState, paths: Iterable[str]) -> tuple[DiskSpec, ...]:
    """The existing ones among some images, as the disks they were made for."""
    points, images = state.forgotten, state.images
    return tuple(
        DiskSpec(
            name=points[path].disk if path in points else disk_name(path),
            target="",
            path=path,
            format=images[path].format,
        )
        for path in paths
        if path in images
    )


def _why_not_back(
    state: LabState, survey: OrphanSurvey, orphan: OrphanFacts, point: LostPoint, name: str
) -> Refusal | None:
    """Why a snapshot cannot be brought back: what it needs is gone, in use, or not what it was."""
    as_disks = _("Bring its images back as free disks: adopt().")
    if point.why_not_trusted:
        why = _("{name} is in the lab's record only, and is not given to the hypervisor: {why}")
        return Refusal(why=why.format(name=name, why=point.why_not_trusted), ways_out=(as_disks,))
    parts = parts_of(state, point)
    files = (*parts, *([point.memory] if point.memory else []))
    if lost := [posixpath.basename(path) for path in files if path not in state.images.keys() | state.memories]:
        return Refusal(
            why=ngettext(
                "{name} cannot come back: {files} of it is gone, or cannot be read.",
                "{name} cannot come back: {files} of it are gone, or cannot be read.",
                len(lost),
            ).format(name=name, files=", ".join(lost)),
            ways_out=(
                _("Bring the files back from a copy, into their places."),
                _("Bring what is left back as a free disk: adopt()."),
            ),
        )
    written = {disk.path: facts.name for facts in state.everywhere.values() for disk in facts.spec.disks}
    if taken := [path for path in parts if path in written]:
        return Refusal(
            why=_("{name} cannot come back: {machine} writes to {file} of it.").format(
                name=name, machine=written[taken[0]], file=posixpath.basename(taken[0])
            ),
            ways_out=(_("Take a snapshot of {machine}: it keeps what is there.").format(machine=written[taken[0]]),),
            dependants=(written[taken[0]],),
        )
    if fault := survey.bad_memories.get(point.memory or ""):
        why = describe_fault(fault, point.memory or "", name)
        return Refusal(why=why, ways_out=(_("Bring the file back from a copy."), as_disks))
    return _why_broken(state, survey, orphan, parts)


def _why_broken(state: LabState, survey: OrphanSurvey, orphan: OrphanFacts, paths: Sequence[str]) -> Refusal | None:
    """Why images that nobody needs cannot be built upon, as `why_broken` finds; with the ways out that orphans have."""
    disks = _specs(state, paths)
    refusal = why_broken(state, None, disks, survey.changed)
    if refusal is None or why_broken(state, None, disks, ()) is not None:
        return refusal
    accept = f'lab.orphans["{orphan.name}"].accept_changes()'
    ways = (
        _("Bring the file back from a copy, into its place."),
        _("Or take it as it is now: {call}.").format(call=accept),
    )
    return replace(refusal, ways_out=ways)


def plan_accept_orphan(state: LabState, survey: OrphanSurvey, orphan: OrphanFacts) -> Plan:
    """Plan to accept the images, as they are now, that an orphan and the snapshot that kept it read."""
    point = find_point(state, orphan.path)
    parts = parts_of(state, point) if point else (orphan.path,)
    layers = {layer.path for path in parts for layer in chain(state.images, path)}
    steps, notes = seal_as_they_are(state, layers, survey.changed)
    return _of_orphans("accept", state, [orphan], orphan.name, steps=steps, notes=notes)


def plan_discard(state: LabState, survey: OrphanSurvey, orphan: OrphanFacts) -> Plan:
    """Plan to delete an orphan for good; one that others stand on goes only together with them."""
    refusal = _why_of_a_machine(survey, orphan) or _why_in_use(orphan)
    if orphan.above:
        names = tuple(map(posixpath.basename, orphan.above))
        why = ngettext("{names} stands on {file}.", "{names} stand on {file}.", len(names)).format(
            names=", ".join(names), file=orphan.name
        )
        ways = (_("Discard what stands on it first, or all orphans at once: lab.orphans.discard()."),)
        refusal = refusal or Refusal(why=why, ways_out=ways, dependants=names)
    return _deleting(state, [orphan], orphan.name, refusal=refusal)


def plan_discard_all(state: LabState, orphans: Sequence[OrphanFacts], subject: str) -> Plan:
    """Plan to delete orphans for good, except those of forgotten machines, which can come back."""
    of_machines = {orphan.path: orphan.unreturned for orphan in orphans if orphan.unreturned}
    staying = alive_among(state.images, of_machines) | of_machines.keys()
    going = [orphan for orphan in orphans if orphan.path not in staying and not orphan.in_use]
    names = ", ".join(sorted(set(of_machines.values())))
    note = _("Files of machines that libvirt was made to forget stay: {machines}. {way}")
    note = note.format(machines=names, way=_way_back())
    return _deleting(state, going, subject, notes=[note] if names else [])


def _deleting(
    state: LabState,
    orphans: Sequence[OrphanFacts],
    subject: str,
    *,
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    files = tuple(file for orphan in _from_the_top(orphans) for file in orphan.files)
    steps = [DeleteFiles(paths=files, bytes=sum(orphan.allocated for orphan in orphans))] if files else []
    lost = [_("What they hold is lost for good.")] if steps else []
    steps, lost = ([], []) if refusal else (steps, lost)
    return _of_orphans("discard", state, orphans, subject, steps=steps, refusal=refusal, notes=[*lost, *notes])


def _why_of_a_machine(survey: OrphanSurvey, orphan: OrphanFacts) -> Refusal | None:
    """Why a file of a machine that libvirt was made to forget is left alone: the machine can come back with it."""
    if not orphan.unreturned or survey.why_not_back:
        return None
    return Refusal(why=orphan.why, ways_out=(_way_back(), _("Then delete what you do not want of it.")))


def _why_in_use(orphan: OrphanFacts) -> Refusal | None:
    """Why the image of a forgotten snapshot is not deleted while somebody stands on it."""
    if not orphan.in_use:
        return None
    call = f'lab.machines["{orphan.machine}"].snapshots.delete("{orphan.snapshot}")'
    return Refusal(
        why=_("{file} is in use: only the snapshot {name} that kept it is nobody's.").format(
            file=orphan.name, name=orphan.snapshot
        ),
        ways_out=(
            _("Let its machine have the snapshot again: adopt_as_snapshot()."),
            _("Then delete it as any other: {call}.").format(call=call),
        ),
        dependants=tuple(map(posixpath.basename, orphan.above)),
    )


def _way_back() -> str:
    return _("Bring the machine back: lab.orphans.bring_back().")


def _from_the_top(orphans: Sequence[OrphanFacts]) -> list[OrphanFacts]:
    """Orphans sorted so that each comes before the one it stands on."""
    known = {orphan.path: orphan for orphan in orphans}

    def height(orphan: OrphanFacts) -> int:
        return 1 + max((height(known[path]) for path in orphan.above if path in known), default=0)

    return sorted(orphans, key=height)


def _of_orphans(
    act: str,
    state: LabState,
    orphans: Sequence[OrphanFacts],
    subject: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    disks = tuple(sorted({orphan.disk for orphan in orphans if orphan.disk}))
    machines = tuple(sorted({orphan.machine for orphan in orphans if orphan.machine}))
    return make_plan(act, state, subject, names=machines, disks=disks, steps=steps, refusal=refusal, notes=notes)


def _holder(orphan: OrphanFacts) -> tuple[str, ...]:
    return (orphan.machine,) if orphan.machine else ()
