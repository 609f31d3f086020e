"""The plan that writes a machine, with all its snapshots, into a file.

An archive holds whole chains byte for byte, for a linked clone also the images that it stands on, so that every
snapshot keeps what it stands on and nothing is converted.
Knows: the model, steps. Must not know: libvirt, files, how an archive is laid out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from labkit.model.disk import chain
from labkit.model.machine import MachineSpec
from labkit.model.state import LabState
from labkit.model.travel import (
    MANIFEST_VERSION,
    CarriedFile,
    CarriedImage,
    CarriedKind,
    CarriedPoint,
    CarriedSnapshot,
    Manifest,
)
from labkit.plans.archive_excuses import why_not_export, why_not_readable
from labkit.plans.broken import why_broken
from labkit.plans.memory_excuses import why_bad_memory
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.snapshot_survey import MemoryFault
from labkit.plans.steps import WriteArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSurvey:
    """What had to be measured for an export.

    Attributes:
        free_bytes: free where the archive goes. exists: whether the target exists already; no_folder: whether its
            folder is missing.
        xml: the machine's definition. records: by snapshot, its definition and the one it ran with, or None.
        changed: frozen images that are no longer what they were; memories: what is wrong with memory files, by path.
        lengths: bytes of each file that exists, by path; allocated: bytes that the host gives memory and boot files.
    """

    free_bytes: int
    xml: str
    records: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    exists: bool = False
    no_folder: bool = False
    lengths: Mapping[str, int] = field(default_factory=dict)
    allocated: Mapping[str, int] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    memories: Mapping[str, MemoryFault] = field(default_factory=dict)


def plan_export(state: LabState, survey: ExportSurvey, machine: str, target: str) -> Plan:
    """Plan to write a machine that is off, with all its snapshots, into one file.

    Args:
        target: absolute path of the archive.
    """
    facts, tree = state.machines[machine], state.tree_of(machine)
    specs = [facts.spec, *(node.spec for node in tree.nodes.values())]
    memories = [node.memory for node in tree.nodes.values() if node.memory]
    boots = sorted({path for spec in specs for path in (spec.boot.kernel, spec.boot.initramfs) if path})
    images = sorted({layer.path for spec in specs for disk in spec.disks for layer in chain(state.images, disk.path)})
    needed = sum(state.images[path].allocated for path in images)
    needed += sum(survey.allocated.get(path, 0) for path in (*memories, *boots))
    refusal = why_not_export(
        state,
        facts,
        tree,
        target,
        exists=survey.exists,
        no_folder=survey.no_folder,
        there=survey.lengths,
        free_bytes=survey.free_bytes,
        needed=needed,
    )
    refusal = (
        refusal
        or why_broken(state, machine, [disk for spec in specs for disk in spec.disks], survey.changed)
        or why_bad_memory(tree.nodes.values(), survey.memories)
    )
    names = {file: f"disks/{posixpath.basename(file)}" for path in images for file in state.images[path].files}
    names |= {path: f"memory/{posixpath.basename(path)}" for path in memories}
    names |= {path: f"boot/{posixpath.basename(path)}" for path in boots}
    step = None if refusal else _writing(state, survey, machine, target, images, memories, boots, names, needed)
    if step and (refusal := why_not_readable(machine, step.manifest)):
        step = None
    return make_plan("export", state, machine, names=[machine], steps=[step] if step else [], refusal=refusal)


def _writing(
    state: LabState,
    survey: ExportSurvey,
    machine: str,
    target: str,
    images: list[str],
    memories: list[str],
    boots: list[str],
    names: Mapping[str, str],
    needed: int,
) -> WriteArchive:
    """Return the step that writes the archive.

    Args:
        images, memories, boots: the files it holds, by kind. names: what each is called in it.
    """
    manifest = Manifest(
        version=MANIFEST_VERSION,
        machine=machine,
        point=_carry_point(names, state.machines[machine].spec, survey.xml),
        snapshots=tuple(
            CarriedSnapshot(
                name=node.name,
                description=node.description,
                parent=node.parent,
                created=node.created,
                kind=node.kind,
                point=_carry_point(names, node.spec, *survey.records[node.name]),
                memory=names[node.memory] if node.memory else None,
            )
            for node in state.tree_of(machine).nodes.values()
        ),
        current=state.tree_of(machine).current,
        images=tuple(
            CarriedImage(
                files=tuple(names[file] for file in image.files),
                format=image.format,
                capacity=image.capacity,
                backing=names[image.backing] if image.backing else None,
            )
            for image in (state.images[path] for path in images)
        ),
        files=tuple(_carry_files(state, survey, images, memories, boots, names)),
    )
    sources = tuple((name, path) for path, name in names.items())
    return WriteArchive(target=target, manifest=manifest, sources=sources, bytes=needed)


def _carry_point(names: Mapping[str, str], spec: MachineSpec, xml: str, live: str | None = None) -> CarriedPoint:
    """A machine at one of its points, with its files called as in the archive."""
    kernel, initramfs = spec.boot.kernel, spec.boot.initramfs
    return CarriedPoint(
        xml=xml,
        disks={disk.target: names[disk.path] for disk in spec.disks},
        boot=(names[kernel] if kernel else None, names[initramfs] if initramfs else None),
        live_xml=live,
    )


def _carry_files(
    state: LabState,
    survey: ExportSurvey,
    images: Iterable[str],
    memories: list[str],
    boots: list[str],
    names: Mapping[str, str],
) -> Iterator[CarriedFile]:
    for image in (state.images[path] for path in images):
        full = image.backing is None and image.allocated >= image.length
        for file in image.files:
            yield CarriedFile(name=names[file], kind=CarriedKind.IMAGE, length=survey.lengths[file], full=full)
    for paths, kind in ((memories, CarriedKind.MEMORY), (boots, CarriedKind.BOOT)):
        for path in paths:
            yield CarriedFile(name=names[path], kind=kind, length=survey.lengths[path])
