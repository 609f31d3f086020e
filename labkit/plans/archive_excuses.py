"""Why a machine cannot go into an archive or come out of one: one pure function for each reason.

What an archive says of itself is only a claim: labkit relies on nothing that is not checked here first.
Knows: the model. Must not know: which steps an act has, how an archive is laid out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from labkit.language import _
from labkit.model.disk import chain, disk_name
from labkit.model.image import Format
from labkit.model.machine import MachineFacts, MachineSpec, MachineState
from labkit.model.snapshot import SnapshotKind, SnapshotTree
from labkit.model.state import LabState
from labkit.model.travel import MANIFEST_VERSION, CarriedImage, CarriedKind, CarriedPoint, Manifest
from labkit.model.ways import ways_off
from labkit.plans.disk_excuses import why_no_room
from labkit.plans.machine_excuses import why_not_name, why_not_sized
from labkit.plans.refusal import Refusal
from labkit.plans.shifted import why_shifted
from labkit.units import GIB, KIB, MIB, TIB, is_storable

MOST_CAPACITY = 2 * TIB
"""A larger image is refused as a trap or a mistake."""

_OURS = ("disks", "memory", "consoles", "journal", "locks", "boot", "saved", "instances")
"""The folders in a lab's that hold its own files, and nothing else."""

_FILE = re.compile(r"(disks|memory|boot)/[^/.][^/]{0,250}")
_TARGET = re.compile(r"(vd|hd)[a-z]|sd[a-d]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BOOT = 512 * MIB
_MOST_MEMORY = 256 * GIB
_MOST_DESCRIPTOR = 64 * KIB  # bytes of the first file of a two-file VMDK: a text that names the other
_DEEPEST = 200
_MOST_SNAPSHOTS = 1000
_MOST_FILES = 9_999
_MOST_DISKS = 500  # in all snapshots together
_MOST_NAME = 240  # bytes: libvirt makes a file name of it, and appends to that while it writes
_MOST_XML = MIB
_LATEST = 250_000_000_000  # seconds since 1970: the calendar functions end soon after that


def why_not_export(
    state: LabState,
    facts: MachineFacts,
    tree: SnapshotTree,
    target: str,
    *,
    exists: bool,
    no_folder: bool,
    there: Collection[str],
    free_bytes: int,
    needed: int,
) -> Refusal | None:
    """Return why a machine cannot be written into an archive.

    Args:
        exists, no_folder: what was found at the target. there: those of the machine's files that exist. needed: bytes.
    """
    name = posixpath.basename(target)
    if exists:
        return Refusal(
            why=_("There is already a file {name}.").format(name=name),
            ways_out=(_("Choose another name, or delete it first."),),
        )
    if no_folder:
        return Refusal(
            why=_("There is no folder {folder}.").format(folder=posixpath.dirname(target)),
            ways_out=(_("Make it first, or choose another."),),
        )
    if _is_among_ours(state, target):
        return Refusal(
            why=_(
                "{folder} is for the lab's own files: an archive in it would be taken for one, and removed with them."
            ).format(folder=posixpath.dirname(target)),
            ways_out=(_("Choose another folder, such as {path}.").format(path=posixpath.join(state.home, name)),),
        )
    if facts.state is not MachineState.OFF:
        return Refusal(
            why=_("{machine} is on or saved; only a machine that is off is exported.").format(machine=facts.name),
            ways_out=(ways_off(facts), _("To carry its memory along, take a snapshot before."))
            if facts.is_active
            else (ways_off(facts),),
        )
    served = [disk.name for disk in facts.spec.disks if disk.served]
    if served:
        return Refusal(
            why=_("{disk} is served by another program.").format(disk=served[0]), ways_out=(_("Detach it first."),)
        )
    foreign = next((node for node in tree.nodes.values() if node.excuse), None)
    if foreign is not None:
        return Refusal(
            why=_("{name} is not a snapshot of labkit's kind. {why}").format(name=foreign.name, why=foreign.excuse),
            ways_out=(_("Delete it with the tool that took it (virsh snapshot-delete), then do this again."),),
        )
    if shifted := why_shifted(state, facts.name, tree.nodes.values()):
        return shifted
    if missing := next(_find_missing(state, facts, tree, there), None):
        return Refusal(
            why=_("The file {file} that {machine} or one of its snapshots needs is gone.").format(
                file=posixpath.basename(missing), machine=facts.name
            ),
            ways_out=(_("Bring the file back, or delete the snapshot that needs it."),),
        )
    return why_no_room(free_bytes, needed)


def _is_among_ours(state: LabState, target: str) -> bool:
    """Whether a file lies in one of the folders that the lab keeps its own files in."""
    within = posixpath.normpath(target).removeprefix(f"{state.home}/").split("/")
    return len(within) > 1 and within[0] in _OURS


def _find_missing(state: LabState, facts: MachineFacts, tree: SnapshotTree, there: Collection[str]) -> Iterator[str]:
    for spec in (facts.spec, *(node.spec for node in tree.nodes.values())):
        for disk in spec.disks:
            layers = chain(state.images, disk.path)
            if not layers:
                yield disk.path
            elif (below := layers[-1].backing) is not None:
                yield below
        yield from (path for path in (spec.boot.kernel, spec.boot.initramfs) if path and path not in there)
    yield from (node.memory for node in tree.nodes.values() if node.memory and node.memory not in there)


def why_not_arrive(
    state: LabState,
    manifest: Manifest,
    specs: Sequence[MachineSpec],
    *,
    taken_ids: Collection[str],
    free_bytes: int,
    host_memory: int,
    host_cpus: int,
) -> Refusal | None:
    """Return why a machine from an archive cannot become one of this lab.

    Args:
        specs: the machine as it will be, then as each snapshot has it. taken_ids: UUIDs of existing machines.
    """
    spec = specs[0]
    if refusal := why_not_name(state, spec.name):
        return Refusal(why=refusal.why, ways_out=(_('Give it another: import_machine(…, name="…").'),))
    if spec.id in taken_ids:
        return Refusal(
            why=_("The very machine is here already: one with its id {id}.").format(id=spec.id),
            ways_out=(
                _("To move it, delete it where it was first."),
                _('To have a copy, bring it in as another one: identity="new".'),
            ),
        )
    for each in specs:
        if refusal := why_not_sized(memory=each.memory, vcpus=each.vcpus, host_memory=host_memory, host_cpus=host_cpus):
            return refusal
    needed = sum(file.length if file.full else file.stored for file in manifest.files)
    return why_no_room(free_bytes, needed)


def why_not_readable(machine: str, manifest: Manifest) -> Refusal | None:
    """Return why an archive could not be imported again; asked with its manifest before anything is written."""
    files = tuple(replace(file, sha256="0" * 64) for file in manifest.files)
    if why := why_not_manifest(replace(manifest, files=files)):
        return Refusal(
            why=_("An archive of {machine} could not be read again: {why}.").format(machine=machine, why=why),
            ways_out=(_("Delete snapshots that you no longer need, or clone the machine and export the clone."),),
        )
    return None


def why_not_manifest(manifest: Manifest) -> str | None:
    """Return what is wrong with the manifest of an archive, or None."""
    if manifest.version != MANIFEST_VERSION:
        return _("it was written by another version of labkit")
    if not manifest.machine.isprintable() or len(manifest.machine.encode()) > _MOST_NAME:
        return _("the name of its machine is damaged")
    if any(len(xml) > _MOST_XML for point in _points(manifest) for xml in (point.xml, point.live_xml or "")):
        return _("a definition in it is too long")
    return _why_not_files(manifest) or _why_not_images(manifest) or _why_not_snapshots(manifest)


def _why_not_files(manifest: Manifest) -> str | None:
    most = {CarriedKind.IMAGE: MOST_CAPACITY + GIB, CarriedKind.MEMORY: _MOST_MEMORY, CarriedKind.BOOT: _MOST_BOOT}
    names = [file.name for file in manifest.files]
    if len(names) > _MOST_FILES:
        return _("it holds too many files")
    for file in manifest.files:
        if not _FILE.fullmatch(file.name) or not file.name.isprintable():
            return _("it names a file {file}").format(file=repr(file.name[:80]))
        if not 0 < file.length <= most[file.kind] or not 0 <= file.stored <= most[file.kind]:
            return _("{file} claims {size} bytes").format(file=file.name, size=file.length)
        if not _SHA256.fullmatch(file.sha256):
            return _("the hash of {file} is none").format(file=file.name)
    if len(set(names)) != len(names):
        return _("it names a file twice")
    lengths = {file.name: file.length for file in manifest.files}
    for image in manifest.images:
        if len(image.files) > 1 and lengths.get(image.files[0], 0) > _MOST_DESCRIPTOR:
            return _("{file} claims {size} bytes").format(file=image.files[0], size=lengths[image.files[0]])
    used = [file for image in manifest.images for file in image.files]
    used += [snapshot.memory for snapshot in manifest.snapshots if snapshot.memory]
    used += {file for point in _points(manifest) for file in point.boot if file}
    if sorted(used) != sorted(names):
        return _("its files are not those its machine needs")
    kinds = {file.name: file.kind for file in manifest.files}
    wrong = [file for image in manifest.images for file in image.files if kinds[file] is not CarriedKind.IMAGE]
    memories = (snapshot.memory for snapshot in manifest.snapshots if snapshot.memory)
    wrong += [file for file in memories if kinds[file] is not CarriedKind.MEMORY]
    boots = (file for point in _points(manifest) for file in point.boot if file)
    wrong += [file for file in boots if kinds[file] is not CarriedKind.BOOT]
    return _("its files are not those its machine needs") if wrong else None


def _why_not_images(manifest: Manifest) -> str | None:
    images = {image.files[0]: image for image in manifest.images if image.files}
    if len(images) != len(manifest.images):
        return _("its list of images is damaged")
    for name, image in images.items():
        if len(image.files) > (2 if image.format is Format.VMDK else 1):
            return _("{file} has too many parts").format(file=name)
        if not image.format.attachable or (image.backing and image.format is not Format.QCOW2):
            return _("{file} has a format that no machine can use so").format(file=name)
        if not 0 < image.capacity <= MOST_CAPACITY:
            return _("{file} claims {size} bytes").format(file=name, size=image.capacity)
    depths: dict[str, int] = {}  # of images that have all the layers below them
    for name in images:
        above: list[str] = []
        below: str | None = name
        while below is not None and below not in depths:
            if below not in images or len(above) > _DEEPEST:
                return _("the layers below {file} are damaged").format(file=name)
            above.append(below)
            below = images[below].backing
        first = depths[below] + 1 if below else 0
        depths |= {each: depth for depth, each in enumerate(reversed(above), first)}
    if max(depths.values(), default=0) > _DEEPEST:
        return _("its layers lie too deep")
    return _why_not_disks(manifest, images)


def _why_not_disks(manifest: Manifest, images: Mapping[str, CarriedImage]) -> str | None:
    alive: set[str] = set()
    for point in _points(manifest):
        if not all(_TARGET.fullmatch(target) and file in images for target, file in point.disks.items()):
            return _("its machine has disks that are not there")
        for file in point.disks.values():
            above: str | None = file
            while above is not None and above not in alive:
                alive.add(above)
                above = images[above].backing
    if len({disk_name(file) for point in _points(manifest) for file in point.disks.values()}) > _MOST_DISKS:
        return _("it holds too many disks")
    active = set(manifest.point.disks.values())
    if len(active) != len(manifest.point.disks) or any(image.backing in active for image in images.values()):
        return _("two things in it write to one image")
    if any(file in active for snapshot in manifest.snapshots for file in snapshot.point.disks.values()):
        return _("two things in it write to one image")
    return None if alive == set(images) else _("it holds images that its machine does not need")


def _why_not_snapshots(manifest: Manifest) -> str | None:
    known: set[str] = set()
    if len(manifest.snapshots) > _MOST_SNAPSHOTS:
        return _("it has too many snapshots")
    for snapshot in manifest.snapshots:
        if not _is_snapshot_name(snapshot.name) or snapshot.name in known:
            return _("its list of snapshots is damaged")
        if not is_storable(snapshot.description) or not 0 <= snapshot.created <= _LATEST:
            return _("its list of snapshots is damaged")
        if (snapshot.memory is not None) != (snapshot.kind in (SnapshotKind.RUNNING, SnapshotKind.PAUSED)):
            return _("its list of snapshots is damaged")
        if snapshot.parent is not None and snapshot.parent not in known:
            return _("its list of snapshots is damaged")
        known.add(snapshot.name)
    return None if manifest.current is None or manifest.current in known else _("its list of snapshots is damaged")


def _is_snapshot_name(name: str) -> bool:
    """Whether libvirt can keep a snapshot of this name; other tools allow names that labkit does not."""
    plain = name.isprintable() and "/" not in name and not name.startswith(".")
    return plain and 0 < len(name.encode()) <= _MOST_NAME


def _points(manifest: Manifest) -> list[CarriedPoint]:
    return [manifest.point, *(snapshot.point for snapshot in manifest.snapshots)]
