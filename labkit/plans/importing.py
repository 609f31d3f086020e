"""The plan that makes a machine, with all its snapshots, from an archive; all its files get new names.

Knows: the model, steps. Must not know: libvirt, files, how an archive is laid out.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from labkit.language import _
from labkit.model.disk import disk_name, image_number, image_path
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineSpec
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.travel import CarriedImage, CarriedKind, CarriedPoint, Manifest, SnapshotRecord
from labkit.plans.archive_excuses import why_not_arrive
from labkit.plans.naming import free_disk_name, free_memory_paths, next_image_path
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.steps import (
    DefineAdopted,
    FreezeImages,
    Step,
    UnpackBootFile,
    UnpackImage,
    UnpackMemory,
)

_STRANGE = re.compile(r"[^\w.-]")
_MOST_LETTERS = 40
_NAMELESS = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStart:
    """What will precede QEMU's stream in a memory file. skip: the bytes that precede it in the archive."""

    xml: str
    cookie: str
    skip: int
    was_running: int
    compression: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A machine that comes in, with all its XML rebuilt by labkit.

    Attributes:
        archive: absolute path. spec, xml: the machine and its definition. specs: those of its snapshots.
        records: what the hypervisor is told of its snapshots; points: the snapshots. memories: by name in the archive.
    """

    archive: str
    manifest: Manifest
    spec: MachineSpec
    xml: str
    specs: tuple[MachineSpec, ...] = ()
    records: tuple[SnapshotRecord, ...] = ()
    points: tuple[SnapshotFacts, ...] = ()
    memories: Mapping[str, MemoryStart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSurvey:
    """What had to be measured for an import.

    Attributes:
        free_bytes: free on the file system of the lab's folder. host_memory, host_cpus: of this host.
        accelerator: who runs the instructions here. taken_ids: UUIDs of all machines of the hypervisors.
        boot_folder: the folder of kernels. there: those of the archive's boot files that are in it already, by path.
    """

    free_bytes: int
    host_memory: int
    host_cpus: int
    accelerator: Accelerator
    taken_ids: frozenset[str]
    boot_folder: str
    there: frozenset[str] = frozenset()


def lay_out(state: LabState, manifest: Manifest, machine: str, boot_folder: str) -> dict[str, str]:
    """Return where each file of an archive goes: absolute paths by name in the archive."""
    targets: dict[str, str] = {}
    disks = _name_disks(state, manifest, machine)
    numbers: dict[str, int] = {}
    depths = _depths(manifest)
    for image in sorted(manifest.images, key=lambda image: (depths[image.files[0]], _number(image), image.files)):
        disk = disks[image.files[0]]
        if disk not in numbers:
            numbers[disk] = image_number(next_image_path(state, disk, image.format))
        path = image_path(posixpath.join(state.home, "disks"), disk, numbers[disk], image.format)
        numbers[disk] += 1
        targets[image.files[0]] = path
        targets |= {extent: f"{path.removesuffix('.vmdk')}-flat.vmdk" for extent in image.files[1:]}
    memories = iter(free_memory_paths(state, machine))
    for file in manifest.files:
        if file.kind is CarriedKind.MEMORY:
            targets[file.name] = next(memories)
        elif file.kind is CarriedKind.BOOT:
            plain = _plain_name(posixpath.basename(file.name).rpartition("-")[2])
            targets[file.name] = posixpath.join(boot_folder, f"{file.sha256[:16]}-{plain}")
    return targets


def adopt_spec(
    state: LabState,
    manifest: Manifest,
    point: CarriedPoint,
    foreign: MachineSpec,
    targets: Mapping[str, str],
    *,
    name: str,
    machine_id: str,
    genid: str | None,
    console_log: str,
    accelerator: Accelerator,
) -> MachineSpec:
    """Return a machine from elsewhere, at one point of its past, as a machine of this lab."""
    formats = {image.files[0]: image.format for image in manifest.images}
    disks = tuple(
        DiskSpec(name=disk_name(targets[file]), target=target, path=targets[file], format=formats[file])
        for target, file in sorted(point.disks.items())
    )
    kernel, initramfs = (targets[file] if file else None for file in point.boot)
    return replace(
        foreign,
        name=name,
        lab=state.lab,
        lab_id=state.lab_id,
        id=machine_id,
        genid=genid or foreign.genid,
        disks=disks,
        boot=Boot(kernel=kernel, initramfs=initramfs, command_line=foreign.boot.command_line),
        accelerator=accelerator,
        pinned_to=None,
        console_log=console_log,
    )


def plan_import(state: LabState, survey: ImportSurvey, arrival: Arrival) -> Plan:
    """Plan to make a machine of this lab from an archive."""
    name = arrival.spec.name
    manifest = arrival.manifest
    refusal = why_not_arrive(
        state,
        manifest,
        (arrival.spec, *arrival.specs),
        taken_ids=survey.taken_ids,
        free_bytes=survey.free_bytes,
        host_memory=survey.host_memory,
        host_cpus=survey.host_cpus,
    )
    if refusal:
        return make_plan("import", state, name, names=[name], refusal=refusal)
    steps, notes = _arriving(state, survey, arrival), _notes(survey, arrival)
    return make_plan("import", state, name, names=[name], steps=steps, notes=notes)


def _arriving(state: LabState, survey: ImportSurvey, arrival: Arrival) -> list[Step]:
    manifest, archive = arrival.manifest, arrival.archive
    targets = lay_out(state, manifest, arrival.spec.name, survey.boot_folder)
    files = {file.name: file for file in manifest.files}
    formats = {image.files[0]: image.format for image in manifest.images}
    depths = _depths(manifest)
    steps: list[Step] = []
    for image in sorted(manifest.images, key=lambda image: (depths[image.files[0]], image.files)):
        parts = [files[file] for file in image.files]
        full = all(part.full for part in parts)
        steps.append(
            UnpackImage(
                archive=archive,
                names=image.files,
                targets=tuple(targets[file] for file in image.files),
                hashes=tuple(part.sha256 for part in parts),
                format=image.format,
                capacity=image.capacity,
                bytes=sum(part.length if full else part.stored for part in parts),
                backing=targets[image.backing] if image.backing else None,
                backing_format=formats[image.backing] if image.backing else None,
                full=full,
            )
        )
    for memory, start in sorted(arrival.memories.items()):
        steps.append(
            UnpackMemory(
                archive=archive,
                name=memory,
                target=targets[memory],
                sha256=files[memory].sha256,
                bytes=files[memory].stored,
                xml=start.xml,
                cookie=start.cookie,
                skip=start.skip,
                was_running=start.was_running,
                compression=start.compression,
            )
        )
    boots = {targets[file.name]: file for file in manifest.files if file.kind is CarriedKind.BOOT}
    steps += [
        UnpackBootFile(archive=archive, name=file.name, target=target, sha256=file.sha256, bytes=file.stored)
        for target, file in sorted(boots.items())
        if target not in survey.there
    ]
    spec = arrival.spec
    steps.append(DefineAdopted(spec=spec, xml=arrival.xml, records=arrival.records, points=arrival.points))
    active = {disk.path for disk in spec.disks}
    still = (image for image in manifest.images if targets[image.files[0]] not in active)
    frozen = [targets[file] for image in still for file in image.files]
    if frozen:
        steps.append(FreezeImages(paths=tuple(frozen)))
    return steps


def _notes(survey: ImportSurvey, arrival: Arrival) -> list[str]:
    if not any(spec.accelerator is not survey.accelerator for spec in arrival.specs):
        return []
    return [_("Memory that was saved with another accelerator cannot be restored here; disks can.")]


def _name_disks(state: LabState, manifest: Manifest, machine: str) -> dict[str, str]:
    """The name in this lab of the disk that each image of the archive belongs to."""
    images = {image.files[0]: image for image in manifest.images}
    old: dict[str, str] = {}
    for point in (manifest.point, *(snapshot.point for snapshot in manifest.snapshots)):
        for file in point.disks.values():
            name: str | None = file
            while name is not None and name not in old:  # the images below belong to that disk too
                old[name] = disk_name(file)
                name = images[name].backing
    new: dict[str, str] = {}
    for disk in sorted(set(old.values())):
        own = disk.removeprefix(f"{manifest.machine}.")
        wanted = f"{machine}.{_plain_name(own)}" if own != disk else _plain_name(disk)
        new[disk] = free_disk_name(state, wanted, new.values())
    return {file: new[disk] for file, disk in old.items()}


def _plain_name(name: str) -> str:
    """A name from elsewhere, made into one that a disk of labkit may have: no colon, no space, no special character."""
    plain = _STRANGE.sub("-", unicodedata.normalize("NFC", name)).lstrip("._-")
    return plain[:_MOST_LETTERS] or _NAMELESS


def _depths(manifest: Manifest) -> dict[str, int]:
    """How many layers lie below each image, by its name in the archive."""
    images = {each.files[0]: each for each in manifest.images}
    depths: dict[str, int] = {}
    for name in images:
        below: list[str] = []
        at: str | None = name
        while at is not None and at not in depths:
            below.append(at)
            at = images[at].backing
        first = depths[at] + 1 if at else 0
        depths |= {each: depth for depth, each in enumerate(reversed(below), first)}
    return depths


def _number(image: CarriedImage) -> int:
    return image_number(image.files[0])
