"""Making a guest that is kept booted: one of its kind boots, as nobody, and is stopped once it waits for its user.

It is a transient domain that ends with the process that makes it. It belongs to no lab and has no machine's name, id or
files. It is made under a draft's name, by one process at a time, and renamed when it is whole.

Knows: the rooms below. Must not know: which machine goes on from it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

from labkit.engine import as_made, kept_guests, mapping, seals
from labkit.engine.agent_channel import agent_channel
from labkit.engine.as_made import Kind
from labkit.engine.handle import Handle
from labkit.engine.session import Session
from labkit.engine.waking import wait_for_agent
from labkit.errors import GuestSilent, HostTrouble, HypervisorError
from labkit.guest import agent
from labkit.guest.console import SerialConsole
from labkit.hypervisor import instant, kinds
from labkit.hypervisor.clone_xml import clone_domain_xml
from labkit.hypervisor.domain_xml import parse_domain_xml
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import yield_to_others
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _
from labkit.limits import Limit, unheard
from labkit.model.image import Allocation, Format, GuestImage
from labkit.model.kept import DISK, MEMORY, WRITTEN, BlankDisk, KeptGuest
from labkit.model.machine import MachineSpec
from labkit.storage import files, qemu_img
from labkit.storage.files import host_errors
from labkit.storage.guest_images import read_guest_images
from labkit.storage.plain import open_plain

NAME = "labkit-kept"
"""The name of its domain is this and the first digits of its kind."""

_ROOM_FACTOR = 3
_MOST_LETTERS = 30  # of an image's name
_LISTENS = 0.5  # seconds after which one looks whether nobody wants it any more


def keep(machine: Handle, kind: Kind, limit: Limit) -> KeptGuest | None:
    """Return the kept guest of a kind, made now if there is none; None if it was removed meanwhile.

    If another process is making it this one waits for it.

    Raises:
        Cancelled, TimedOut: from the limit. LabError: none can be kept.
    """
    if kept := kept_guests.find_kept(kind.folder):
        return kept
    with kept_guests.making(kind.folder.name, limit):
        if kept_guests.find_kept(kind.folder) is None:
            make(machine.session, kind, limit)
    return kept_guests.find_kept(kind.folder)


def make(session: Session, kind: Kind, limit: Limit, *, last: bool = False) -> None:
    """Make the guest of a kind, as the one who holds its lock; if that fails there is none.

    Args:
        last: whether it gets only the time that no other program wants.

    Raises:
        LabError: it cannot be made, or the limit was reached.
    """
    draft = kind.folder.with_name(f".making-{kind.folder.name}")
    try:
        with host_errors(draft):
            shutil.rmtree(draft, ignore_errors=True)  # of one who was killed
            kept_guests.tidy(read_guest_images(session.workspace.images))
            if not kept_guests.remove(kind.folder):
                raise HostTrouble(_("{folder} cannot be removed.").format(folder=kind.folder))
            _check_room(kind)
            for folder in (draft, draft / "disks", draft / "memory"):
                folder.mkdir(mode=0o700)
            _boot(session.domains, kind, draft, limit, last=last)
            _lay_out(kind, draft, limit)
            draft.rename(kind.folder)
            files.sync_folder(kind.folder.parent)
        kept_guests.tidy(read_guest_images(session.workspace.images))
    except ValueError as error:
        raise HypervisorError(_("its file is of a kind that is not known here")) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_room(kind: Kind) -> None:
    """Raise an error if the host's disk has not several times the room that is needed: others need it more."""
    spec = parse_domain_xml(kind.definition)
    needed = _ROOM_FACTOR * (kind.image.disk_bytes + (spec.memory if spec else 0))
    if files.free_bytes(kind.folder.parent) < needed:
        raise HostTrouble(_("the host's disk is too full to keep a guest of {image}.").format(image=kind.image.name))


def _boot(domains: Domains, kind: Kind, draft: Path, limit: Limit, *, last: bool) -> None:
    """Boot a guest of a kind on a layer over its image, and write its memory into a file when it waits for its user."""
    connection, spec, xml = domains.connection, *_as_nobody(kind, draft)
    image = Path(kind.image.disk)
    kinds_of_image = (Format.QCOW2, kind.image.capacity, Allocation.DYNAMIC)
    qemu_img.create(draft / WRITTEN, *kinds_of_image, backing=image, backing_format=Format.QCOW2)
    for blank, path in _blanks(kind, draft):
        qemu_img.create(path, blank.format, blank.capacity, Allocation.DYNAMIC)
    instant.end_named(connection, spec.domain_name)  # one that was left when a daemon died

    instant.create_passing(connection, place_sockets(xml, connection.runtime), subject=spec.name)
    try:
        if last:
            yield_to_others(spec.id)
        # The agent is asked once the shell stands: what is sent before it has begun may stay unanswered for long.
        console = SerialConsole(subject=spec.name, log=Path(spec.console_log or ""), open_log=open_plain, send=unheard)
        wait_for_prompt(console, kind.image, limit)
        channel = agent_channel(domains, spec.id, spec.name)
        wait_for_agent(channel, limit)
        agent.run(channel, "sync", limit=limit)
        instant.save_to(connection, str(draft / MEMORY), spec)
    finally:
        instant.end_named(connection, spec.domain_name)


def wait_for_prompt(console: SerialConsole, image: GuestImage, limit: Limit) -> None:
    """Wait until a guest of an image is up and waits for its user.

    Raises:
        Cancelled, TimedOut: from the limit.
    """
    while True:
        limit.check()
        with contextlib.suppress(GuestSilent):
            console.expect(re.escape(image.prompt or ""), timeout=min(_LISTENS, limit.left))
            return


def _as_nobody(kind: Kind, draft: Path) -> tuple[MachineSpec, str]:
    """Who a guest that is kept is, and its definition.

    Raises:
        ValueError: the definition is none of ours.
    """
    found = parse_domain_xml(kind.definition)
    if found is None:
        raise ValueError("it is no machine of ours")
    paths = {blank.target: str(path) for blank, path in _blanks(kind, draft)}
    spec = replace(
        found,
        name=f"memory-of-{kind.image.name[:_MOST_LETTERS]}-{kind.folder.name[:8]}",  # its guest's users may see it
        lab=NAME,
        id=str(uuid.uuid4()),
        boot=found.boot.keeping_identity(keep=False),
        disks=tuple(replace(disk, path=paths.get(disk.target, str(draft / WRITTEN))) for disk in found.disks),
        genid=str(uuid.uuid4()) if found.genid else None,
        console_log=str(draft / "console"),
    )
    return spec, kinds.without_owner(clone_domain_xml(kind.definition, spec))


def _blanks(kind: Kind, draft: Path) -> list[tuple[BlankDisk, Path]]:
    """The further disks of a kind, and the images that stand in for them meanwhile."""
    return [(blank, draft / "disks" / f"{blank.target}.{blank.format}") for blank in kind.blanks]


def _lay_out(kind: Kind, draft: Path, limit: Limit) -> None:
    """Make the files by which machines map the memory; the file that they are made from is not needed any more."""
    memory, disk, written = draft / MEMORY, draft / DISK, draft / WRITTEN
    block = mapping.make(memory, on_bytes=unheard, limit=limit)
    memory.unlink()
    (draft / "console").unlink(missing_ok=True)
    for blank, path in _blanks(kind, draft):
        if not as_made.is_blank(path, blank.format):
            raise ValueError("a guest that boots writes to it")
        path.unlink()
    qemu_img.convert(
        written, Format.QCOW2, disk, Format.QCOW2, Allocation.DYNAMIC, capacity=kind.image.capacity, limit=limit
    )
    files.freeze_files([str(disk), str(written)])
    seals.seal([str(disk), str(written)])
    seals.complete(disk.parent)
    kept_guests.write_told(draft, kind.image, block=block.name, length=block.length)
