"""Archives of machines: checked before anything in them is used, and rewritten as ours before they are unpacked.

Knows: the rooms below. Must not know: the order of steps, the journal, who asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.hypervisor.domain_xml import adopting
from labkit.language import _
from labkit.model.machine import Accelerator, MachineSpec
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.travel import CarriedKind, CarriedPoint, CarriedSnapshot, Manifest, SnapshotRecord
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
    members = {member.name: member for member in archive.read_members(path)}
    try:
        adoption = _Adoption(
            state=state,
            manifest=manifest,
            identity=_complete(identity, manifest.point.xml),
            targets=lay_out(state, manifest, identity.name, boot_folder),
            console_log=free_console_log(state, identity.name),
            accelerator=accelerator,
        )
        spec = adoption.rebuild(manifest.point, manifest.point.xml)
        snapshots = [adoption.rebuild_snapshot(each) for each in manifest.snapshots]
        memories = {
            each.memory: adoption.rebuild_start(each, _read_start(path, members.get(each.memory)))
            for each in manifest.snapshots
            if each.memory
        }
        xml = adopting.adopt_domain_xml(manifest.point.xml, spec)
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
        specs=tuple(definition for each in snapshots for definition in (each.facts.spec, each.live)),
        records=tuple(each.record for each in snapshots),
        points=tuple(each.facts for each in snapshots),
        memories=memories,
    )


def _complete(identity: ArrivalIdentity, xml: str) -> ArrivalIdentity:
    """Return an identity in which ids that are not given are those of the machine that the definition is of."""
    had = adopting.read_foreign(xml)
    own_id, own_genid = str(uuid.UUID(had.id)), str(uuid.UUID(had.genid)) if had.genid else None
    return replace(identity, id=identity.id or own_id, genid=identity.genid or own_genid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AdoptedSnapshot:
    """A snapshot from an archive; `live`: the definition that its guest ran with, or else the one it had."""

    record: SnapshotRecord
    facts: SnapshotFacts
    live: MachineSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adoption:
    """What the texts of an archive are rebuilt with.

    Attributes:
        identity: with all its ids. targets: where each file of the archive goes.
        console_log, accelerator: of the machine here; snapshots with memory keep the accelerator they were taken with.
    """

    state: LabState
    manifest: Manifest
    identity: ArrivalIdentity
    targets: Mapping[str, str]
    console_log: str
    accelerator: Accelerator

    def rebuild(self, point: CarriedPoint, xml: str, *, keeps_accelerator: bool = False) -> MachineSpec:
        """Return the definition of the machine at one of its points, made of values that have been checked.

        Raises:
            ValueError: the text is no definition, or asks for what no machine can have.
        """
        spec = adopting.read_foreign(xml)
        line = spec.boot.command_line
        plain = line.isprintable() and len(line) <= _MOST_COMMAND_LINE
        plain = plain and spec.image.isprintable() and len(spec.image) <= _MOST_IMAGE_NAME
        if not plain or not 0 < spec.memory <= MOST_MEMORY or not 0 < spec.vcpus <= MOST_VCPUS:
            raise ValueError("impossible values")
        return adopt_spec(
            self.state,
            self.manifest,
            point,
            spec,
            self.targets,
            name=self.identity.name,
            machine_id=self.identity.id or spec.id,
            genid=self.identity.genid,
            console_log=self.console_log,
            accelerator=spec.accelerator if keeps_accelerator else self.accelerator,
        )

    def rebuild_snapshot(self, snapshot: CarriedSnapshot) -> _AdoptedSnapshot:
        """Return a snapshot as ours."""
        point, kept = snapshot.point, snapshot.memory is not None
        inactive = self.rebuild(point, point.xml, keeps_accelerator=kept)
        live = self.rebuild(point, point.live_xml, keeps_accelerator=kept) if point.live_xml else inactive
        facts = SnapshotFacts(
            name=snapshot.name,
            description=snapshot.description,
            parent=snapshot.parent,
            created=snapshot.created,
            kind=snapshot.kind,
            spec=inactive,
            memory=self.targets[snapshot.memory] if snapshot.memory else None,
        )
        text = adopting.build_adopted_snapshot(
            name=facts.name,
            description=facts.description,
            parent=facts.parent,
            created=facts.created,
            kind=facts.kind,
            memory=facts.memory,
            domain=adopting.adopt_domain_xml(point.live_xml or point.xml, live),
            inactive=adopting.adopt_domain_xml(point.xml, inactive, tag="inactiveDomain"),
            spec=inactive,
        )
        current = facts.name == self.manifest.current
        record = SnapshotRecord(name=facts.name, parent=facts.parent, xml=text, current=current)
        return _AdoptedSnapshot(record=record, facts=facts, live=live)

    def rebuild_start(self, snapshot: CarriedSnapshot, header: memory_file.MemoryHeader) -> MemoryStart:
        """Return what is written instead of the header of a snapshot's memory."""
        running = self.rebuild(snapshot.point, header.xml, keeps_accelerator=True)
        return MemoryStart(
            xml=adopting.adopt_domain_xml(header.xml, running),
            cookie=adopting.adopt_cookie(header.cookie),
            skip=header.length,
            was_running=header.was_running,
            compression=header.compression,
        )


def _read_start(path: Path, member: archive.Member | None) -> memory_file.MemoryHeader:
    if member is None:
        raise archive.refused(path.name, _("it has changed since it was looked at"))
    length = memory_file.header_bytes(archive.read_bytes(path, member, 92))
    return memory_file.parse_header(archive.read_bytes(path, member, length))
