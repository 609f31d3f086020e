"""Archives of machines: looked at before they are believed, written, unpacked.

Knows: the rooms below. Must not know: the order of steps, the journal, who asked.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import HostTrouble
from labkit.hypervisor.domain_xml import adopting
from labkit.language import _
from labkit.limits import Limit
from labkit.model.disk import backing_name
from labkit.model.image import Format
from labkit.model.machine import Accelerator, MachineSpec
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.travel import CarriedKind, CarriedPoint, Manifest, SnapshotRecord
from labkit.plans.archive_excuses import why_not_manifest
from labkit.plans.importing import Arrival, MemoryStart, adopt_spec, lay_out
from labkit.plans.naming import free_console_log
from labkit.plans.steps import UnpackBootFile, UnpackImage, UnpackMemory, WriteArchive
from labkit.storage import archive, files, foreign, making, memory_file
from labkit.storage.bounded import Damaged, parse_json, strict_converter, structure
from labkit.storage.containers import read_header
from labkit.storage.files import OnBytes
from labkit.storage.header_values import BadHeader
from labkit.storage.zeros import fill_holes
from labkit.units import TIB

MOST_MEMORY = 16 * TIB
"""Bytes of memory that a definition from elsewhere may ask for; the host has less, and says so."""

MOST_VCPUS = 1024
"""Virtual CPUs, likewise."""

_MOST_COMMAND_LINE = 2000
_MOST_IMAGE_NAME = 60
_MOST_WHY = 200  # letters of a parser's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a machine from an archive becomes: its name, its id (None: the one it had), its generation id (likewise)."""

    name: str
    id: str | None = None
    genid: str | None = None


def inspect_archive(path: Path) -> Manifest:
    """Return what an archive says it holds, where that agrees with itself and with what is in it.

    Raises:
        NotFound: there is no such file. BadInput: it is not one that is brought in; says why.
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
    state: LabState, path: Path, manifest: Manifest, identity: Identity, *, boot_folder: str, accelerator: Accelerator
) -> Arrival:
    """Return a machine from an archive as one of ours: every text of it built anew.

    Raises:
        BadInput: a text of it is no definition of a machine.
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


def write(step: WriteArchive, on_bytes: OnBytes, limit: Limit) -> None:
    """Write the archive."""
    plain = {file.name for file in step.manifest.files if file.kind != "image"}
    sources = [archive.Source(name=name, path=Path(path), sparse=name not in plain) for name, path in step.sources]

    def finish(written: Mapping[str, archive.Written]) -> bytes:
        carried = tuple(
            replace(file, stored=written[file.name].stored, sha256=written[file.name].sha256)
            for file in step.manifest.files
        )
        return str(strict_converter().dumps(replace(step.manifest, files=carried), indent=1)).encode()

    archive.write_archive(Path(step.target), sources, finish, on_bytes=on_bytes, limit=limit)


def unpack_image(step: UnpackImage, on_bytes: OnBytes, limit: Limit) -> None:
    """Make the image; it has its name when it is whole, checked, and depends on what it shall.

    Raises:
        BadInput: its bytes are not those of the archive's manifest, or are no image that may come in.
    """
    path, target = Path(step.archive), Path(step.targets[0])
    members = {member.name: member for member in archive.read_members(path)}
    with making.making(target) as draft:
        drafts = [draft.parent / Path(each).name for each in step.targets]
        for name, part, sha256 in zip(step.names, drafts, step.hashes, strict=True):
            _unpack(path, members.get(name), part, sha256, on_bytes, limit)
        _check_image(path.name, step, drafts)
        if step.full:
            for part in drafts:
                fill_holes(part, on_bytes, limit)
        else:
            with contextlib.suppress(OSError):
                os.chmod(draft, 0o600)


def unpack_memory(step: UnpackMemory, on_bytes: OnBytes, limit: Limit) -> None:
    """Bring a memory file, our definition before its stream."""
    path = Path(step.archive)
    begin = memory_file.build_header(
        memory_file.MemoryHeader(
            xml=step.xml, cookie=step.cookie, was_running=step.was_running, compression=step.compression
        )
    )
    members = {member.name: member for member in archive.read_members(path)}
    with making.making(Path(step.target)) as draft:
        _unpack(path, members.get(step.name), draft, step.sha256, on_bytes, limit, begin=begin, skip=step.skip)


def unpack_boot_file(step: UnpackBootFile, on_bytes: OnBytes, limit: Limit) -> None:
    """Bring a kernel or an initramfs."""
    path = Path(step.archive)
    members = {member.name: member for member in archive.read_members(path)}
    with making.making(Path(step.target)) as draft:
        _unpack(path, members.get(step.name), draft, step.sha256, on_bytes, limit)


def undo(target: str, others: tuple[str, ...] = ()) -> None:
    """Remove what an act with an archive has made, and what a killed attempt has left."""
    making.discard(Path(target))
    files.delete_files((*others, target))


def _unpack(
    path: Path,
    member: archive.Member | None,
    target: Path,
    sha256: str,
    on_bytes: OnBytes,
    limit: Limit,
    *,
    begin: bytes = b"",
    skip: int = 0,
) -> None:
    if member is None:
        raise archive.refused(path.name, _("it has changed since it was looked at"))
    with files.host_errors(target), target.open("xb") as file:
        os.chmod(file.fileno(), 0o600)
        archive.unpack(path, member, file, sha256, on_bytes=on_bytes, limit=limit, begin=begin, skip=skip)


def _check_image(name: str, step: UnpackImage, drafts: list[Path]) -> None:
    """Refuse an image that is not what the manifest says, and let it depend on what the lab has below it."""
    image = drafts[0]
    with image.open("rb") as file:
        try:
            header = read_header(file.fileno(), step.format)
        except BadHeader as error:
            raise archive.refused(name, f"{step.names[0]}: {error}") from error
    parts = [extent.name for extent in header.extents]
    strange = header.data_file or header.encrypted or header.corrupt
    if strange or header.capacity != step.capacity or (header.backing is None) != (step.backing is None):
        raise archive.refused(name, _("{file} is not the image its manifest tells of").format(file=step.names[0]))
    if parts:
        old = Path(step.names[1]).name if len(step.names) == 2 else None
        whole = header.extents[0].offset == 0 and header.extents[0].length <= drafts[-1].stat().st_size
        if parts != [old] or header.extents[0].kind != "FLAT" or not whole:
            raise archive.refused(name, _("{file} wants other files").format(file=step.names[0]))
        text = image.read_bytes()  # its header was read, so it is a short one
        image.write_bytes(text.replace(f'"{old}"'.encode(), f'"{drafts[1].name}"'.encode()))
    elif len(step.names) > 1:
        raise archive.refused(name, _("{file} wants other files").format(file=step.names[0]))
    below = backing_name(step.targets[0], step.backing) if step.backing else None
    try:
        if below is not None and step.backing_format is not None:
            foreign.rename_backing(image, below, step.backing_format)
        if step.format is not Format.RAW:
            known = (*map(str, drafts), *([below] if below else []))
            if foreign.ask_capacity(name, str(image), step.format, known) != step.capacity:
                raise archive.refused(
                    name, _("{file} is not the image its manifest tells of").format(file=step.names[0])
                )
    except HostTrouble as error:
        raise archive.refused(name, _("qemu-img cannot read {file}").format(file=step.names[0])) from error


def _read_start(path: Path, member: archive.Member | None) -> memory_file.MemoryHeader:
    if member is None:
        raise archive.refused(path.name, _("it has changed since it was looked at"))
    length = memory_file.header_bytes(archive.read_bytes(path, member, 92))
    return memory_file.parse_header(archive.read_bytes(path, member, length))
