"""How archives of machines are written and unpacked, and how a machine from an archive is defined.

Knows: the rooms below. Must not know: the order of steps, the journal, whether an archive is acceptable
(`archives.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from labkit.engine import seals
from labkit.engine.context import Context
from labkit.errors import HostTrouble
from labkit.hypervisor import migration
from labkit.language import _
from labkit.model.disk import backing_name
from labkit.model.image import Format
from labkit.model.state import LabState
from labkit.plans.steps import ArchiveStep, DefineAdopted, UnpackBootFile, UnpackImage, UnpackMemory, WriteArchive
from labkit.storage import archive, atomic, files, foreign, memory_file
from labkit.storage.bounded import strict_converter
from labkit.storage.containers import read_header
from labkit.storage.header_values import BadHeader
from labkit.storage.zeros import fill_holes


def do(step: ArchiveStep, context: Context) -> None:
    """Carry a step out.

    Raises:
        BadInput: the content of an archive is not what its manifest says, or is not acceptable.
    """
    match step:
        case WriteArchive():
            _write(step, context)
        case UnpackImage():
            _unpack_image(step, context)
        case UnpackMemory():
            _unpack_memory(step, context)
            seals.seal([step.target])
        case UnpackBootFile():
            _unpack_boot_file(step, context)
        case DefineAdopted():  # may be repeated
            context.domains.define_text(step.xml, subject=step.spec.name)
            migration.give_records(context.domains.connection, step.spec.id, step.records)
        case _:
            assert_never(step)


def is_done(step: ArchiveStep, state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case WriteArchive() | UnpackMemory() | UnpackBootFile():
            return Path(step.target).exists()
        case UnpackImage():
            return Path(step.targets[0]).exists()
        case DefineAdopted():
            machine = state.find_machine(step.spec.id)
            known = state.snapshots.get(machine.name, ()) if machine else ()
            return machine is not None and all(record.name in known for record in step.records)
        case _:
            assert_never(step)


def undo(step: WriteArchive | UnpackImage | UnpackMemory | UnpackBootFile, _context: Context) -> None:
    """Remove what the step has made, and what a killed attempt has left."""
    target, *others = step.targets if isinstance(step, UnpackImage) else (step.target,)
    atomic.discard(Path(target))
    files.delete_files((*others, target))


def forget(step: DefineAdopted, state: LabState, context: Context) -> None:
    """Undefine a machine from elsewhere that the hypervisor knows already, in whole or in part.

    A machine of that id under another name is left alone: another act, which was faster, defined it.
    """
    machine = state.machines.get(step.spec.name)
    if machine is not None and machine.id == step.spec.id:
        context.domains.undefine(machine.id)


def _write(step: WriteArchive, context: Context) -> None:
    """Write the archive."""
    plain = {file.name for file in step.manifest.files if file.kind != "image"}
    sources = [archive.Source(name=name, path=Path(path), sparse=name not in plain) for name, path in step.sources]

    def finish(written: Mapping[str, archive.Written]) -> bytes:
        carried = tuple(
            replace(file, stored=written[file.name].stored, sha256=written[file.name].sha256)
            for file in step.manifest.files
        )
        return str(strict_converter().dumps(replace(step.manifest, files=carried), indent=1)).encode()

    archive.write_archive(Path(step.target), sources, finish, on_bytes=context.on_bytes, limit=context.limit)


def _unpack_image(step: UnpackImage, context: Context) -> None:
    """Make the image; it gets its name when it is whole and checked and stands on the right image.

    Raises:
        BadInput: its bytes are not those in the archive's manifest, or not those of an acceptable image.
    """
    path, target = Path(step.archive), Path(step.targets[0])
    members = {member.name: member for member in archive.read_members(path)}
    with atomic.creating(target) as draft:
        drafts = [draft.parent / Path(each).name for each in step.targets]
        for name, part, sha256 in zip(step.names, drafts, step.hashes, strict=True):
            _unpack(path, members.get(name), part, sha256, context)
        _check_image(path.name, step, drafts)
        if step.full:
            for part in drafts:
                fill_holes(part, context.on_bytes, context.limit)
        else:
            with contextlib.suppress(OSError):
                os.chmod(draft, 0o600)


def _unpack_memory(step: UnpackMemory, context: Context) -> None:
    """Unpack a memory file, with our definition before its stream."""
    path = Path(step.archive)
    begin = memory_file.build_header(
        memory_file.MemoryHeader(
            xml=step.xml, cookie=step.cookie, was_running=step.was_running, compression=step.compression
        )
    )
    members = {member.name: member for member in archive.read_members(path)}
    with atomic.creating(Path(step.target)) as draft:
        _unpack(path, members.get(step.name), draft, step.sha256, context, begin=begin, skip=step.skip)


def _unpack_boot_file(step: UnpackBootFile, context: Context) -> None:
    """Unpack a kernel or an initramfs."""
    path = Path(step.archive)
    members = {member.name: member for member in archive.read_members(path)}
    with atomic.creating(Path(step.target)) as draft:
        _unpack(path, members.get(step.name), draft, step.sha256, context)


def _unpack(
    path: Path,
    member: archive.Member | None,
    target: Path,
    sha256: str,
    context: Context,
    *,
    begin: bytes = b"",
    skip: int = 0,
) -> None:
    if member is None:
        raise archive.refused(path.name, _("it has changed since it was looked at"))
    with files.host_errors(target), target.open("xb") as file:
        os.chmod(file.fileno(), 0o600)
        archive.unpack(
            path, member, file, sha256, on_bytes=context.on_bytes, limit=context.limit, begin=begin, skip=skip
        )


def _check_image(name: str, step: UnpackImage, drafts: list[Path]) -> None:
    """Refuse an image that is not what the manifest says, and let it depend on the lab's image below it."""
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
        text = image.read_bytes()  # its header was accepted, so it is short
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
