"""Plans about what a clone stands on: flatten lets it stand alone, relink brings a lost image back.

Each is a pure function of the lab's state, a survey and a request.
Knows: the lineage, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from labkit.language import _, ngettext
from labkit.model.disk import chain, disk_name
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.model.ways import ways_off
from labkit.model.words import state_word
from labkit.plans.broken import why_broken
from labkit.plans.disk_excuses import why_internal, why_no_room
from labkit.plans.naming import next_image_path
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.reclaim import find_unneeded, own_disks
from labkit.plans.refusal import Refusal
from labkit.plans.steps import ConvertImage, CopyImage, DeleteFiles, PullBases, ReplaceImage, Step
from labkit.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenSurvey:
    """What had to be measured: bytes free in the lab's folder; frozen images that another tool has written to."""

    free_bytes: int
    changed: frozenset[str] = frozenset()


def plan_flatten(state: LabState, survey: FlattenSurvey, machine: str) -> Plan:
    """Plan to let a clone stand alone: what it still reads from its original is copied into its own lowest images."""
    facts = state.machines[machine]
    lineage = read_lineage(state)
    cuts = _cuts(lineage, facts)
    disks = [*facts.spec.disks, *(disk for node in _nodes(state, machine) for disk in node)]
    needed = sum(_moved(state, image) for image in cuts)
    refusal = None
    if cuts:
        refusal = (
            why_broken(state, machine, disks, survey.changed)
            or _why_not_now(lineage, facts, cuts)
            or (None if facts.is_active else why_internal(cuts))
            or why_no_room(survey.free_bytes, needed)
        )
    if refusal or not cuts:
        notes = () if cuts else (_("{machine} stands alone already.").format(machine=machine),)
        return _plan("flatten", state, machine, machine, refusal=refusal, notes=notes)
    dead = _no_longer_needed(lineage, facts, cuts)
    steps: list[Step] = [_pulling(facts, cuts, needed)] if facts.is_active else _replacing(state, cuts)
    if dead:
        files = tuple(file for image in dead for file in image.files)
        steps.append(DeleteFiles(paths=files, bytes=sum(image.allocated for image in dead), is_copied=True))
    notes = (_("Then {machine} takes up to {size} more of its own.").format(machine=machine, size=format_size(needed)),)
    return _plan("flatten", state, machine, machine, steps=steps, notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelinkSurvey:
    """What had to be measured to bring a lost image back.

    Attributes:
        free_bytes: free in the lab's folder. size, allocated: bytes of the file; sha256: the hash of its content.
        seals: the hashes of images as they froze, by absolute path.
        changed: frozen images that are no longer what they were.
    """

    free_bytes: int
    size: int
    allocated: int
    sha256: str
    seals: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def plan_relink(state: LabState, survey: RelinkSurvey, machine: str, disk: str, file: str) -> Plan:
    """Plan to put a file in the place of an image below a disk that is gone or was changed.

    Only a file that is proven by the image's seal to hold the same is accepted; the file itself stays where it is.
    """
    facts = state.machines[machine]
    spec = find_disk(facts, disk)
    if spec is None:
        known = ", ".join(each.name for each in facts.spec.disks) or _("none")
        unknown = Refusal(
            why=_("{machine} has no disk {disk!r}.").format(machine=machine, disk=disk),
            ways_out=(_("It has: {names}.").format(names=known),),
        )
        return _plan("relink", state, machine, f"{machine} {disk}", refusal=unknown)
    broken = _broken(state, machine, spec, survey.changed)
    files = [(file, path) for path in broken for file in _files_of(state, path)]
    match, image = next((each for each in files if survey.seals.get(each[0]) == survey.sha256), (None, ""))
    refusal = _why_not_relink(facts, spec, file, broken, match, survey)
    if refusal or match is None:
        return _plan("relink", state, machine, f"{machine} {disk}", refusal=refusal)
    draft = next_image_path(state, disk_name(image), Format(image.rpartition(".")[2]))
    steps: list[Step] = [
        CopyImage(source=file, target=draft, bytes=survey.allocated),
        ReplaceImage(draft=draft, path=match, frozen=True),
    ]
    note = _("{file} holds what {lost} held: its copy takes that place.").format(
        file=posixpath.basename(file), lost=posixpath.basename(match)
    )
    return _plan("relink", state, machine, f"{machine} {spec.name}", steps=steps, notes=(note,))


def find_disk(facts: MachineFacts, name: str) -> DiskSpec | None:
    """Return a machine's disk by its name, by what the guest calls it, or by its original's name."""
    disks = facts.spec.disks
    fitting = (
        *(disk for disk in disks if disk.name == name),
        *(disk for disk in disks if disk.target == name),
        *(disk for disk in disks if disk.name.endswith(f".{name}")),
    )
    return next(iter(fitting), None)


# --- flattening ---------------------------------------------------------------------------------


def _nodes(state: LabState, machine: str) -> Iterable[tuple[DiskSpec, ...]]:
    return (node.disks for node in state.tree_of(machine).nodes.values())


def _cuts(lineage: Lineage, facts: MachineFacts) -> list[ImageFacts]:
    """The images that will stand alone: a running machine's active ones, else the lowest ones that are its own."""
    own = lineage.own(facts.name)
    live = facts.is_active and not lineage.state.snapshots.get(facts.name)
    found: dict[str, ImageFacts] = {}
    for path in sorted(lineage.named.get(facts.name, ())):
        layers = chain(lineage.state.images, path)
        mine = list(itertools.takewhile(lambda layer: layer.path in own, layers))
        if mine and len(mine) < len(layers):
            cut = mine[0] if live else mine[-1]
            found[cut.path] = cut
    return list(found.values())


def _moved(state: LabState, image: ImageFacts) -> int:
    """About how many bytes an image will have when it stands alone."""
    return min(image.capacity, sum(layer.allocated for layer in chain(state.images, image.path)))


def _why_not_now(lineage: Lineage, facts: MachineFacts, cuts: list[ImageFacts]) -> Refusal | None:
    if facts.state is MachineState.SAVED:
        return Refusal(
            why=_("{machine} is saved: its saved memory fits only the images it has.").format(machine=facts.name),
            ways_out=(_("Start it first; it can be flattened while it runs."),),
        )
    if facts.is_active and lineage.state.snapshots.get(facts.name):
        return Refusal(
            why=_("{machine} is {state} and has snapshots of its own: what lies below them is in use.").format(
                machine=facts.name, state=state_word(facts.state)
            ),
            ways_out=(ways_off(facts),),
        )
    for image in cuts:
        users = lineage.users.get(image.path, frozenset()) - {facts.name}
        busy = tuple(sorted(name for name in users if lineage.state.everywhere[name].state is not MachineState.OFF))
        if busy:
            return Refusal(
                why=ngettext(
                    "{machines} stands on {machine} and is not off: its images are in use.",
                    "{machines} stand on {machine} and are not off: their images are in use.",
                    len(busy),
                ).format(machines=", ".join(busy), machine=facts.name),
                ways_out=(ngettext("Switch it off first.", "Switch them off first.", len(busy)),),
                dependants=busy,
            )
    return None


def _pulling(facts: MachineFacts, cuts: list[ImageFacts], needed: int) -> PullBases:
    images = {image.path: image for image in cuts}
    disks = tuple(disk for disk in (facts.live or facts.spec).disks if disk.path in images)
    bases = tuple(
        replace(disk, path=image.backing, format=image.backing_format)
        for disk, image in ((disk, images[disk.path]) for disk in disks)
        if image.backing is not None and image.backing_format is not None
    )
    return PullBases(machine_id=facts.id, domain=facts.spec.domain_name, disks=disks, bases=bases, bytes=needed)


def _replacing(state: LabState, cuts: list[ImageFacts]) -> list[Step]:
    converts: list[Step] = []
    replaces: list[Step] = []
    for image in cuts:
        draft = next_image_path(state, disk_name(image.path), image.format)
        state = replace(state, strays=(*state.strays, draft))
        converts.append(
            ConvertImage(
                source=image.path,
                source_format=image.format,
                target=draft,
                target_format=image.format,
                allocation=Allocation.DYNAMIC,
                capacity=image.capacity,
                bytes=_moved(state, image),
            )
        )
        replaces.append(ReplaceImage(draft=draft, path=image.path, frozen=image.frozen))
    return [*converts, *replaces]


def _no_longer_needed(lineage: Lineage, facts: MachineFacts, cuts: list[ImageFacts]) -> list[ImageFacts]:
    """The machine's own images below the cuts that nobody else needs, children before parents."""
    state = lineage.state
    own = own_disks(facts, state.tree_of(facts.name))
    cut = {image.path: replace(image, backing=None) for image in cuts}
    return [state.images[path] for path in find_unneeded(state, state.roots, own, machine=facts.id, then=cut)]


# --- relinking ----------------------------------------------------------------------------------


def _broken(state: LabState, machine: str, disk: DiskSpec, changed: frozenset[str]) -> list[str]:
    """The lost or changed images of a disk: below it as it is now, and as the machine's snapshots have it."""
    kept = (each for node in _nodes(state, machine) for each in node if disk.name == each.name)
    broken: dict[str, None] = {}
    for path in (disk.path, *(each.path for each in kept)):
        layers = chain(state.images, path)
        lost = layers[-1].backing if layers else path
        if lost is not None and lost not in state.images:
            broken[lost] = None
        broken |= dict.fromkeys(layer.path for layer in layers if layer.path in changed)
    return list(broken)


def _files_of(state: LabState, path: str) -> tuple[str, ...]:
    """The files of an image; if it cannot be read, the file of its name."""
    return state.images[path].files if path in state.images else (path,)


def _why_not_relink(
    facts: MachineFacts, disk: DiskSpec, file: str, broken: list[str], match: str | None, survey: RelinkSurvey
) -> Refusal | None:
    if facts.is_active:
        return Refusal(
            why=_("{machine} is {state}.").format(machine=facts.name, state=state_word(facts.state)),
            ways_out=(ways_off(facts),),
        )
    if not broken:
        return Refusal(
            why=_("Nothing below {disk} is lost or changed.").format(disk=disk.name),
            ways_out=(_("There is nothing to bring back."),),
        )
    names = ", ".join(posixpath.basename(path) for path in broken)
    if not any(path in survey.seals for path in broken):
        return Refusal(
            why=_("Nothing proves what {names} held: it was never sealed by its content.").format(names=names),
            ways_out=(_("Bring the file back under its own name and into its place, if you are sure of it."),),
        )
    if match is None:
        return Refusal(
            why=_("{file} does not hold what {names} held: its content has another hash.").format(
                file=posixpath.basename(file), names=names
            ),
            ways_out=(_("Find another copy."),),
        )
    return why_no_room(survey.free_bytes, survey.allocated)


def _plan(
    act: str,
    state: LabState,
    machine: str,
    subject: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    return make_plan(act, state, subject, names=[machine], steps=steps, refusal=refusal, notes=notes)
