"""Clones in libvirt: defined from their original's definition, with its snapshots; disks copied while a guest runs.

Knows: libvirt's domains, backups and block jobs. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import libvirt
from lxml import etree
from lxml.builder import ElementMaker

from labkit.errors import HypervisorError, LabError, NoSpace
from labkit.hypervisor.clone_xml import clone_domain_xml, clone_snapshot_xml
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.snapshot_xml import definition_in_snapshot_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _
from labkit.limits import Limit
from labkit.model.image import Format
from labkit.model.machine import DiskSpec, MachineSpec

OnBytes = Callable[[int, int], None]

_E = ElementMaker()
_SECURE = libvirt.VIR_DOMAIN_XML_SECURE
_LOOK = 0.02  # seconds between two looks at a job


def define_clones(connection: Connection, source_id: str, snapshot: str | None, specs: Sequence[MachineSpec]) -> None:
    """Define clones with the configuration of a machine or of its snapshot; those already there are left alone."""

    def define(raw: libvirt.virConnect) -> None:
        known = {domain.UUIDString() for domain in raw.listAllDomains()}
        source = raw.lookupByUUIDString(source_id)
        if snapshot is None:
            xml = source.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | _SECURE)
        else:
            xml = definition_in_snapshot_xml(source.snapshotLookupByName(snapshot).getXMLDesc(_SECURE))
        for spec in specs:
            if spec.id not in known:
                raw.defineXML(place_sockets(clone_domain_xml(xml, spec), connection.runtime))

    connection.call(define, subject=specs[0].name, timeout=120)


def copy_snapshots(
    connection: Connection,
    source_id: str,
    spec: MachineSpec,
    names: Sequence[str],
    current: str | None,
    paths: Mapping[str, str],
) -> None:
    """Give a clone the snapshots of its original, on the copies of its images; those already there stay.

    Args:
        names: parents first. current: the one the clone's state began from. paths: the copies, by original.
    """

    def copy(raw: libvirt.virConnect) -> None:
        source, clone = raw.lookupByUUIDString(source_id), raw.lookupByUUIDString(spec.id)
        known = {snapshot.getName() for snapshot in clone.listAllSnapshots()}
        for name in names:
            if name in known:
                continue
            xml = clone_snapshot_xml(source.snapshotLookupByName(name).getXMLDesc(_SECURE), spec, paths)
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            clone.snapshotCreateXML(xml, flags | (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if name == current else 0))

    connection.call(copy, subject=spec.name)


# --- copying while the guest goes on ----------------------------------------------------------------


def back_up(
    connection: Connection,
    machine_id: str,
    targets: Mapping[str, tuple[str, Format]],
    *,
    quiesce: bool,
    on_bytes: OnBytes,
    limit: Limit,
) -> None:
    """Copy what disks hold at one instant into images made beforehand, while the guest goes on.

    Args:
        targets: by what the guest calls a disk: the image's path and format. quiesce: let the guest's agent flush
            its file systems at that instant.

    Raises:
        Cancelled, TimedOut: the limit's; the job has ended. HypervisorError: it failed.
    """
    reuse = libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL

    def begin(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if quiesce:
            domain.fsFreeze()
        try:
            domain.backupBegin(_backup_xml(targets), None, reuse)
        finally:
            if quiesce:
                domain.fsThaw()

    try:
        connection.call(begin, timeout=60)
        _wait_for_backup(connection, machine_id, on_bytes, limit)
    except BaseException:
        abort_backup(connection, machine_id, thaw=quiesce)
        raise


def _wait_for_backup(connection: Connection, machine_id: str, on_bytes: OnBytes, limit: Limit) -> None:
    def look(raw: libvirt.virConnect, flags: int = 0) -> dict[str, int]:
        return dict(raw.lookupByUUIDString(machine_id).jobStats(flags))

    while (job := connection.call(look)).get("type") != libvirt.VIR_DOMAIN_JOB_NONE:
        on_bytes(job.get("disk_processed", 0), job.get("disk_total", 0))
        limit.check()
        time.sleep(_LOOK)
    end = connection.call(lambda raw: look(raw, libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED))
    if not end.get("success"):
        words = str(end.get("errmsg", ""))
        if os.strerror(errno.ENOSPC) in words:
            raise NoSpace(
                _("No space left on the host's disk while the disks were copied."),
                _("Delete machines you no longer need, or free space on the host; then do it again."),
                details=words,
            )
        raise HypervisorError(
            _("The disks could not be copied while the guest ran."),
            _("Is the host's disk full? Free space, or stop the machine, and do it again."),
            details=words,
        )
    on_bytes(end.get("disk_processed", 0), end.get("disk_total", 0))  # a short one may end before the first look
    limit.check()


def abort_backup(connection: Connection, machine_id: str, *, thaw: bool) -> None:
    """End a copy that nobody waits for any more, and let the guest's file systems go on; nothing, if there is none."""

    def abort(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        with contextlib.suppress(libvirt.libvirtError):
            domain.abortJob()
        if thaw:
            with contextlib.suppress(libvirt.libvirtError):
                domain.fsThaw()
        while domain.isActive() and domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
            time.sleep(_LOOK)

    with contextlib.suppress(LabError):
        connection.call(abort)


def _backup_xml(targets: Mapping[str, tuple[str, Format]]) -> str:
    disks = [
        _E.disk(_E.target(file=path), _E.driver(type=format.driver), name=name, backup="yes", type="file")
        for name, (path, format) in targets.items()
    ]
    return etree.tostring(_E.domainbackup(_E.disks(*disks), mode="push"), encoding="unicode")


# --- standing alone ---------------------------------------------------------------------------------


def abort_pulls(connection: Connection, machine_id: str, disks: Iterable[DiskSpec]) -> None:
    """End the block jobs that still copy into disks; what they have copied stays, and harms nothing."""

    def abort(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        for disk in disks:
            with contextlib.suppress(libvirt.libvirtError):
                domain.blockJobAbort(disk.target, 0)

    with contextlib.suppress(LabError):
        connection.call(abort)
