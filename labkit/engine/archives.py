"""Archives of machines: checked before anything in them is used, and rewritten as ours before they are unpacked.

Knows: the rooms below. Must not know: the order of steps, the journal, who asks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.hypervisor.domain_xml import adopting
from labkit.language import _
from labkit.model.machine import Accelerator, MachineSpec
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.travel import CarriedKind, CarriedPoint, Manifest, SnapshotRecord
from labkit.plans.archive_excuses import why_not_manifest
from labkit.plans.importing import Arrival, MemoryStart, adopt_spec, lay_out
from labkit.plans.naming import free_console_log
from labkit.storage import archive, memory_file
from labkit.storage.bounded import Damaged, parse_json, structure
from labkit.units import TIB

MOST_MEMORY = 16 * TIB
"""The most bytes of memory that a definition from elsewhere may ask for; the host may have less."""

MOST_VCPUS = 1024
"""The most virtual CPUs, likewise."""

_MOST_COMMAND_LINE = 2000
_MOST_IMAGE_NAME = 60
_MOST_WHY = 200  # letters of a parser's message that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalIdentity:
    """The name, id and generation id that a machine from an archive gets; None for an id: the one it had."""

    name: str
    id: str | None = None
    genid: str | None = None


def inspect_archive(path: Path) -> Manifest:
    """Return an archive's manifest, after checking it against itself and against the archive's content.

    Raises:
        NotFound: there is no such file. BadInput: it cannot be imported; the message says why.
    """
    members = archive.read_members(path)
    if not members or members[-1].name != archive.MANIFEST:
        raise archive.refused(path.name, _("its manifest is missing: it was cut short, or is another tool's"))
    if members[-1].sparse:
        raise archive.refused(path.name, _("its manifest is damaged"))
    try:
        text = archive.read_bytes(path, members[-1], archive.MOST_MANIFEST + 1)
        manifest = structure(parse_json(text, most=archive.MOST_MANIFEST), Manifest, extra=False)
    except Damaged as error:
        raise archive.refused(path.name, _("its manifest is damaged: {why}").format(why=error)) from error
    if why := why_not_manifest(manifest):
        raise archive.refused(path.name, why)
    claimed = sorted((file.name, file.stored, file.length) for file in manifest.files)
    if claimed != sorted((member.name, member.stored, member.length) for member in members[:-1]):
        raise archive.refused(path.name, _("it does not hold the files that its manifest names"))
    images = {file.name for file in manifest.files if file.kind is CarriedKind.IMAGE}
    if holed := next((member.name for member in members if member.sparse and member.name not in images), None):
        raise archive.refused(path.name, _("the map of {member} is damaged").format(member=holed))
    return manifest


def adopt(
    state: LabState,
    path: Path,
    manifest: Manifest,
    identity: ArrivalIdentity,
    *,
    boot_folder: str,
    accelerator: Accelerator,
) -> Arrival:
    """Return a machine from an archive as one of ours, with every XML text of it rebuilt.

    Raises:
        BadInput: one of its texts is not the definition of a machine.
    """
    targets = lay_out(state, manifest, identity.name, boot_folder)
    log = free_console_log(state, identity.name)
    members = {member.name: member for member in archive.read_members(path)}

    def make(point: CarriedPoint, xml: str, *, keeps_accelerator: bool = False) -> MachineSpec:
        spec = adopting.read_foreign(xml)
        line = spec.boot.command_line
        plain = line.isprintable() and len(line) <= _MOST_COMMAND_LINE
        plain = plain and spec.image.isprintable() and len(spec.image) <= _MOST_IMAGE_NAME
        if not plain or not 0 < spec.memory <= MOST_MEMORY or not 0 < spec.vcpus <= MOST_VCPUS:
            raise ValueError("impossible values")
        return adopt_spec(
            state,
            manifest,
            point,
            spec,
            targets,
            name=identity.name,
            machine_id=identity.id or first.id,
            genid=identity.genid or first.genid,
            console_log=log,
            accelerator=spec.accelerator if keeps_accelerator else accelerator,
        )

    try:
        first = adopting.read_foreign(manifest.point.xml)
        first = replace(first, id=str(uuid.UUID(first.id)), genid=str(uuid.UUID(first.genid)) if first.genid else None)
        spec = make(manifest.point, manifest.point.xml)
        xml = adopting.adopt_domain_xml(manifest.point.xml, spec)
        specs, records, points, memories = [], [], [], {}
        for snapshot in manifest.snapshots:
            kept = snapshot.memory is not None
            inactive = make(snapshot.point, snapshot.point.xml, keeps_accelerator=kept)
            live_xml = snapshot.point.live_xml or snapshot.point.xml
            live = inactive
            if snapshot.point.live_xml:
                live = make(snapshot.point, live_xml, keeps_accelerator=kept)
            text = adopting.build_adopted_snapshot(
                name=snapshot.name,
                description=snapshot.description,
                parent=snapshot.parent,
                created=snapshot.created,
                kind=snapshot.kind,
                memory=targets[snapshot.memory] if snapshot.memory else None,
                domain=adopting.adopt_domain_xml(live_xml, live),
                inactive=adopting.adopt_domain_xml(snapshot.point.xml, inactive, tag="inactiveDomain"),
                spec=inactive,
            )
            current = snapshot.name == manifest.current
            records.append(SnapshotRecord(name=snapshot.name, parent=snapshot.parent, xml=text, current=current))
            points.append(
                SnapshotFacts(
                    name=snapshot.name,
                    description=snapshot.description,
                    parent=snapshot.parent,
                    created=snapshot.created,
                    kind=snapshot.kind,
                    spec=inactive,
                    memory=targets[snapshot.memory] if snapshot.memory else None,
                )
            )
            specs += [inactive, live]
            if snapshot.memory:
                start = _read_start(path, members.get(snapshot.memory))
                running = make(snapshot.point, start.xml, keeps_accelerator=True)
                memories[snapshot.memory] = MemoryStart(
                    xml=adopting.adopt_domain_xml(start.xml, running),
                    cookie=adopting.adopt_cookie(start.cookie),
                    skip=start.length,
                    was_running=start.was_running,
                    compression=start.compression,
                )
    except ValueError as error:
        why = str(error)[:_MOST_WHY].partition("\n")[0]
        raise archive.refused(
            path.name, _("a definition in it is not one of labkit's ({why})").format(why=why)
        ) from error
    return Arrival(
        archive=str(path),
        manifest=manifest,
        spec=spec,
        xml=xml,
        specs=tuple(specs),
        records=tuple(records),
        points=tuple(points),
        memories=memories,
    )


def _read_start(path: Path, member: archive.Member | None) -> memory_file.MemoryHeader:
    if member is None:
        raise archive.refused(path.name, _("it has changed since it was looked at"))
    length = memory_file.header_bytes(archive.read_bytes(path, member, 92))
    return memory_file.parse_header(archive.read_bytes(path, member, length))
