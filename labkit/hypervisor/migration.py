"""Moving a domain from one hypervisor instance to another, with the records of its snapshots.

The daemons do it between themselves: they go on even if the process that asked has died, and a daemon that loses the
other one brings the guest back. Memory goes through a UNIX socket; no port is opened.
Source: https://libvirt.org/migration.html. Knows: libvirt's migration. Must not know: plans, images, labs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libvirt
import libvirt_qemu

from labkit.errors import LabError, NotFound
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.domain_xml.changing import append_to_console_log
from labkit.hypervisor.inquiry import find_daemon
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.mapped_xml import read_memory_xml
from labkit.hypervisor.snapshot_xml import definitions_in_snapshot_xml
from labkit.hypervisor.sockets import instance_folder, place_sockets
from labkit.limits import NO_LIMIT, Limit, OnBytes
from labkit.model.travel import SnapshotRecord, sort_records

LONGEST = 3600.0
"""Seconds that a migration may take if no limit is set."""

_LOOK = 0.05  # seconds between two looks at its progress
_DEAF_AFTER = 15.0  # seconds after an abort; if the daemon still waits then, QEMU is asked whether it has ended
_ENDED = ("cancelled", "failed")  # in QEMU's words
_LIVE = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    # libvirt assumes that only one host sees a local disk; here both do, and QEMU's locks guard it.
    | libvirt.VIR_MIGRATE_UNSAFE
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
)
_SECURE_SNAPSHOT = libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
_MOVABLE = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def read_records(connection: Connection, machine_id: str) -> tuple[SnapshotRecord, ...]:
    """Return what libvirt keeps of a domain's snapshots, parents first."""

    def read(raw: libvirt.virConnect) -> tuple[SnapshotRecord, ...]:
        records = []
        for snapshot in raw.lookupByUUIDString(machine_id).listAllSnapshots():
            xml = str(snapshot.getXMLDesc(_SECURE_SNAPSHOT))
            parent = parse(xml).findtext("parent/name")
            records.append(
                SnapshotRecord(name=snapshot.getName(), parent=parent, xml=xml, current=bool(snapshot.isCurrent()))
            )
        return sort_records(records)

    return connection.read(read)


def read_definitions(connection: Connection, machine_id: str) -> tuple[str, dict[str, tuple[str, str | None]]]:
    """Return a domain's definition and, by snapshot, the one it restores and the one the guest ran with (or None)."""
    xml = str(connection.read(lambda raw: raw.lookupByUUIDString(machine_id).XMLDesc(_INACTIVE)))
    records = read_records(connection, machine_id)
    return xml, {record.name: definitions_in_snapshot_xml(record.xml) for record in records}


def drop_records(connection: Connection, machine_id: str, records: Sequence[SnapshotRecord]) -> None:
    """Let libvirt forget these snapshots of a domain, tips first; their files stay. It may be called again.

    In any other order libvirt would write the images of a forgotten snapshot into the records of its children.
    """

    def drop(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        there = {snapshot.getName(): snapshot for snapshot in domain.listAllSnapshots()}
        for record in reversed(records):
            if record.name in there:
                there[record.name].delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)

    connection.call(drop)


def give_records(connection: Connection, machine_id: str, records: Sequence[SnapshotRecord]) -> None:
    """Tell libvirt of the snapshots of a domain, parents first; it may be called again."""

    def give(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        for record in records:
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            if record.current:
                flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
            domain.snapshotCreateXML(record.xml, flags)

    connection.call(give)


def migrate(
    source: Connection,
    machine_id: str,
    *,
    to_uri: str,
    arrival: Path,
    limit: Limit,
    on_bytes: OnBytes,
) -> bool:
    """Migrate a running or paused guest; afterwards it is defined there and no longer here.

    Args:
        to_uri: the other instance, as the daemon here reaches it. arrival: the socket for the memory, in a
            folder of its own.
        limit: when it is reached the migration is aborted, and the guest goes on here.

    Returns:
        Whether it went over in time; False if the migration was to be aborted but the guest had already gone over.

    Raises:
        Cancelled, TimedOut: from the limit. LabError: libvirt's; the caller must look where the guest is.
    """
    close_arrival(arrival)
    arrival.parent.mkdir(mode=0o700)
    there = instance_folder(to_uri)

    def send(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        parameters = {
            libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{arrival}",
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: _moving(domain, there),
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: place_sockets(domain.XMLDesc(_INACTIVE), there),
        }
        domain.migrateToURI3(to_uri, parameters, _LIVE)

    in_time, patience = True, NO_LIMIT
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="labkit-migrate") as worker:
        sending = worker.submit(source.call, once_log_is_free(send, limit), timeout=LONGEST)
        try:
            while not sending.done():
                _report(source, machine_id, on_bytes)
                if limit.reached:
                    if in_time:
                        in_time, patience = False, Limit(_DEAF_AFTER)
                    _abort(source, machine_id)
                    if patience.reached:
                        _end_if_deaf(source, machine_id)
                time.sleep(_LOOK)
            sending.result()
        except LabError:
            limit.check()  # aborted because of the limit: raise that
            raise
        except BaseException:
            _abort(source, machine_id)
            raise
        finally:
            close_arrival(arrival)
    return in_time


def read_moving(connection: Connection, machine_id: str, there: Path | None) -> str:
    """Return the definition that a guest gets on the instance with that runtime folder."""
    return connection.read(lambda raw: _moving(raw.lookupByUUIDString(machine_id), there))


def _moving(domain: libvirt.virDomain, there: Path | None) -> str:
    return place_sockets(append_to_console_log(read_memory_xml(domain.XMLDesc(_MOVABLE))), there)


def close_arrival(arrival: Path) -> None:
    """Remove the folder of an arrival socket, so that a daemon that only now begins to receive fails."""
    shutil.rmtree(arrival.parent, ignore_errors=True)


def keep_images(source: Connection, machine_id: str) -> None:
    """Make sure that a running guest that did not go over has its images.

    QEMU gives its images up just before it hands a guest over. If the migration is broken off at that moment, a QEMU
    older than 8.1 lets the guest go on without them, and dies at the next write or migration. It takes them back when
    the CPUs go on after a stop.
    """

    def stop_and_go(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        domain.suspend()
        domain.resume()

    source.call(stop_and_go)


def move_definition(source: Connection, target: Connection, machine_id: str) -> None:
    """Define a domain that is off on another instance, then undefine it here; it may be called again."""
    try:
        xml = str(source.read(lambda raw: raw.lookupByUUIDString(machine_id).XMLDesc(_INACTIVE)))
    except NotFound:
        return  # it has moved already
    target.call(lambda raw: raw.defineXML(place_sockets(xml, target.runtime)))
    source.call(lambda raw: raw.lookupByUUIDString(machine_id).undefineFlags(_FORGET))


def remove(connection: Connection, machine_id: str) -> bool:
    """End and undefine the copy of a domain on the side that it does not belong to; returns whether there was one."""

    def drop(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        persistent = bool(domain.isPersistent())
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise  # else it is off, or has just ended
        if persistent:
            domain.undefineFlags(_FORGET)

    try:
        connection.call(drop)
    except NotFound:
        return False
    return True


def keep(connection: Connection, machine_id: str) -> None:
    """Make sure that a domain stays defined when its guest ends; it may be called again."""

    def define(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if not domain.isPersistent():
            raw.defineXML(domain.XMLDesc(_INACTIVE))

    connection.call(define)


_FORGET = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA


def _report(connection: Connection, machine_id: str, on_bytes: OnBytes) -> None:
    try:
        job = connection.read(lambda raw: raw.lookupByUUIDString(machine_id).jobStats())
    except LabError:
        return  # it has just gone over
    if job.get("memory_total"):
        on_bytes(job["memory_total"] - job.get("memory_remaining", 0), job["memory_total"])


def _abort(connection: Connection, machine_id: str) -> None:
    try:
        connection.call(lambda raw: raw.lookupByUUIDString(machine_id).abortJob())
    except LabError:
        return  # it has ended meanwhile, or not begun: the next look tries again


def _end_if_deaf(connection: Connection, machine_id: str) -> None:
    """End the daemon if QEMU has ended a migration and the daemon still waits for it.

    libvirt 9.0 may miss the end of a migration that is aborted just as it begins: its call never returns, and nothing
    can be done with the machine any more. Guests go on without the daemon, and the next call starts it again.
    """

    def ask(raw: libvirt.virConnect) -> str:
        domain = raw.lookupByUUIDString(machine_id)
        return str(libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-migrate"}', 0))

    try:
        status = json.loads(connection.call(ask))["return"].get("status")
    except LabError:
        return
    daemon = find_daemon(connection.uri)
    if status in _ENDED and daemon is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(daemon, signal.SIGKILL)
