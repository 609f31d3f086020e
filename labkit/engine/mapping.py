"""Making a snapshot's memory mappable for clones, and making what such guests save like any other guest's.

Mapped files must be, byte for byte, what they were when made: QEMU would not notice a change, and the guest would run
on whatever they hold. So each time before a guest gets them the pages are checked by their seal, and the devices by
their hash.
Knows: the rooms below, seals. Must not know: plans, steps.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from labkit.engine import seals
from labkit.errors import LabError, WrongState
from labkit.hypervisor import saving
from labkit.hypervisor.clone_xml import clone_memory_xml
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.mapped_xml import is_mappable, map_memory_xml, plain_memory_xml, read_memory_xml
from labkit.hypervisor.record_xml import settle_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _
from labkit.limits import Limit, OnBytes
from labkit.model.machine import MachineSpec
from labkit.model.mapped import MAPPED_NAMES, devices_of, pages_of
from labkit.storage import memory_file, memory_stream
from labkit.storage.atomic import creating
from labkit.storage.contents import hash_file
from labkit.storage.files import host_errors
from labkit.storage.memory_file import MemoryHeader
from labkit.storage.memory_stream import Block


def can_be_mapped(memory: Path) -> bool:
    """Return whether guests could map the memory in a file, that is, whether its kind is known here."""
    try:
        header = memory_file.read_header(memory)
        memory_stream.find_memory(memory, header.length)
    except (OSError, ValueError):
        return False
    return not header.compression and is_mappable(header.xml)


def is_whole(memory: Path) -> bool:
    """Return whether the files to map a memory exist beside it, and are what they were when they were made."""
    pages, devices = Path(pages_of(str(memory))), Path(devices_of(str(memory)))
    folder = memory.parent.parent / "disks"
    known = seals.find_seals(folder)
    if not {pages.name, devices.name} <= known.keys() or not (pages.exists() and devices.exists()):
        return False
    try:
        changed = seals.find_changed(folder, [str(pages), str(devices)])
        return not changed and hash_file(devices) == known[devices.name].sha256
    except LabError:
        return False


def make(memory: Path, *, on_bytes: OnBytes, limit: Limit) -> Block:
    """Make the files to map a memory, and seal them; they replace existing ones.

    Returns:
        The block with the memory, under the name that it has where it is mapped.

    Raises:
        ValueError: its kind is not known here. LabError: the files cannot be made, or the limit was reached.
    """
    pages, devices = Path(pages_of(str(memory))), Path(devices_of(str(memory)))
    seals.break_seals([str(pages), str(devices)])
    with host_errors(memory):
        header = memory_file.read_header(memory)
    with (
        host_errors(pages),
        creating(devices, replace=True) as rest,
        creating(pages, replace=True) as layer,
        _open_new(layer) as one,
        _open_new(rest) as other,
    ):
        block = memory_stream.split(memory, header.length, one, other, on_bytes=on_bytes, limit=limit)
    seals.seal([str(pages), str(devices)])
    return block


def read_devices(memory: Path) -> bytes:
    """Return the rest of a guest whose memory is mapped: the stream with the state of its devices.

    Raises:
        WrongState: the files are not what they were when they were made. HostTrouble: they cannot be read.
    """
    if not is_whole(memory):
        raise WrongState(_("the files to map it are not what they were when they were made."))
    devices = Path(devices_of(str(memory)))
    with host_errors(devices):
        return devices.read_bytes()


def build_waking_xml(memory: Path, spec: MachineSpec, runtime: Path | None) -> str:
    """Return the definition with which a clone maps a memory.

    Args:
        runtime: the runtime folder of the hypervisor instance that it is to run on.

    Raises:
        ValueError: the kind of the memory is not known here. OSError: it cannot be read.
    """
    header = memory_file.read_header(memory)
    block = memory_stream.find_memory(memory, header.length)
    xml = as_clone(header, spec, runtime).xml
    return map_memory_xml(xml, MAPPED_NAMES[block.name], block.length, pages_of(str(memory)))


def as_clone(header: MemoryHeader, spec: MachineSpec, runtime: Path | None) -> MemoryHeader:
    """Return the header of a memory file, made that of a clone."""
    xml = clone_memory_xml(settle_xml(read_memory_xml(header.xml)), spec)
    return replace(header, xml=place_sockets(xml, runtime))


def make_like_any_other(memory: Path) -> None:
    """Make a memory file of a guest that had its memory mapped like that of any other guest; it may be called again.

    The stream is changed first and the header, which says that it is needed, last: so an interrupted change is done
    again.

    Raises:
        ValueError: its kind is not known here. HostTrouble: it cannot be read or written.
    """
    with host_errors(memory):
        header = memory_file.read_header(memory)
        plain = plain_memory_xml(header.xml)
        if plain is not header.xml:
            memory_stream.unmap(memory, header.length)
            memory_file.exchange_header(memory, replace(header, xml=plain))


def make_saved_like_any_other(connection: Connection, machine_id: str, domain: str) -> None:
    """Do the same for libvirt's file of a saved machine, if it is found; the machine could be started as it is, too."""
    with contextlib.suppress(LabError, OSError, ValueError):
        for file in saving.find_files(connection, {machine_id: domain}).values():
            make_like_any_other(file)


def _open_new(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
