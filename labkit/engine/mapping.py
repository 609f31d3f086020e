"""A snapshot's memory made so that clones can map it, and what such guests leave behind made that of any other.

What is mapped must be, byte for byte, what was made: QEMU notices nothing, and a guest would run into whatever stands
there. So the pages are looked at by their seal, and the devices by their hash, each time before a guest gets them.
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
from labkit.storage.files import host_errors
from labkit.storage.memory_file import MemoryHeader


def can_be_mapped(memory: Path) -> bool:
    """Return whether guests could map what a file holds: it is of a kind that is known here."""
    try:
        header = memory_file.read_header(memory)
        memory_stream.find_memory(memory, header.length)
    except (OSError, ValueError):
        return False
    return not header.compression and is_mappable(header.xml)


def is_whole(memory: Path) -> bool:
    """Return whether the files to map a memory are beside it, and what they were when they were made."""
    pages, devices = Path(pages_of(str(memory))), Path(devices_of(str(memory)))
    folder = memory.parent.parent / "disks"
    known = seals.find_seals(folder)
    if not {pages.name, devices.name} <= known.keys() or not (pages.exists() and devices.exists()):
        return False
    try:
        changed = seals.find_changed(folder, [str(pages), str(devices)])
        return not changed and seals.hash_file(devices) == known[devices.name].sha256
    except LabError:
        return False


def make(memory: Path, *, on_bytes: OnBytes, limit: Limit) -> None:
    """Make the files to map a memory, and seal them; in the place of such as are there.

    Raises:
        ValueError: it is of a kind that is not known here. LabError: the host's, the limit's.
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
        memory_stream.split(memory, header.length, one, other, on_bytes=on_bytes, limit=limit)
    seals.seal([str(pages), str(devices)])


def read_devices(memory: Path) -> bytes:
    """Return what else there is of a guest whose memory is mapped: the stream with its devices.

    Raises:
        WrongState: the files are not what they were when they were made. HostTrouble: the host's.
    """
    if not is_whole(memory):
        raise WrongState(_("the files to map it are not what they were when they were made."))
    devices = Path(devices_of(str(memory)))
    with host_errors(devices):
        return devices.read_bytes()


def build_waking_xml(memory: Path, spec: MachineSpec, runtime: Path | None) -> str:
    """Return the definition with which a clone maps a memory.

    Args:
        runtime: the runtime folder of the hypervisor instance it is to run on.

    Raises:
        ValueError: the memory is of a kind that is not known here. OSError: the host's.
    """
    header = memory_file.read_header(memory)
    block = memory_stream.find_memory(memory, header.length)
    xml = as_clone(header, spec, runtime).xml
    return map_memory_xml(xml, MAPPED_NAMES[block.name], block.length, pages_of(str(memory)))


def as_clone(header: MemoryHeader, spec: MachineSpec, runtime: Path | None) -> MemoryHeader:
    """Return what stands before a guest's memory, made that of a clone."""
    xml = clone_memory_xml(settle_xml(read_memory_xml(header.xml)), spec)
    return replace(header, xml=place_sockets(xml, runtime))


def make_like_any_other(memory: Path) -> None:
    """Make the memory that a guest leaves behind which had its own mapped that of any other; once is enough.

    First the stream, then what tells of it: broken off in between, it is found and done again.

    Raises:
        ValueError: it is of a kind that is not known here. HostTrouble: the host's.
    """
    with host_errors(memory):
        header = memory_file.read_header(memory)
        plain = plain_memory_xml(header.xml)
        if plain is not header.xml:
            memory_stream.unmap(memory, header.length)
            memory_file.exchange_header(memory, replace(header, xml=plain))


def make_saved_like_any_other(connection: Connection, machine_id: str, domain: str) -> None:
    """Do so with what libvirt keeps of a saved machine, as far as it is found: it can be started as it is, too."""
    with contextlib.suppress(LabError, OSError, ValueError):
        for file in saving.find_files(connection, {machine_id: domain}).values():
            make_like_any_other(file)


def _open_new(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
