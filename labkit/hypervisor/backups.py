"""Copy disks as they are at one instant while their guest goes on (libvirt's backup), and end such a copy.

Before the guest overwrites something, QEMU copies it into the backup. If the host has no room for that, the guest's
write fails and the guest is stopped; nothing is lost, and it goes on when the copying has ended.

Knows: libvirt's backups, its agent calls. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Mapping

import libvirt
from lxml import etree
from lxml.builder import ElementMaker

from labkit.errors import ConnectionLost, HypervisorError, LabError, NoSpace
from labkit.hypervisor.channels import FLUSHES_WITHIN, agent_answers_soon, thaw
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_facts import read_stand
from labkit.hypervisor.forgotten_backups import end_backup
from labkit.hypervisor.monitor import activate_images
from labkit.hypervisor.unread_guests import take_over_unread
from labkit.language import _
from labkit.limits import Limit, OnBytes
from labkit.model.image import Format
from labkit.model.machine import Reason

_E = ElementMaker()
_LOOK = 0.02  # seconds between two looks at a job


def back_up(
    connection: Connection,
    machine_id: str,
    targets: Mapping[str, tuple[str, Format]],
    *,
    quiesce: bool,
    on_bytes: OnBytes,
    limit: Limit,
) -> None:
    """Copy what disks hold at one instant into existing empty images, while the guest goes on.

    Args:
        targets: path and format of the image for each disk, by the disk's target. quiesce: let the guest's agent flush
            its file systems at that instant.

    Raises:
        Cancelled, TimedOut: from the limit; the job has ended. NoSpace: the host's disk is full; the guest goes on.
        HypervisorError: it failed.
    """
    reuse = libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL

    def begin(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        activate_images(domain)
        if not quiesce:
            domain.backupBegin(build_backup_xml(targets), None, reuse)
            return
        with agent_answers_soon(domain):
            domain.fsFreeze()
            try:
                domain.backupBegin(build_backup_xml(targets), None, reuse)
            finally:
                domain.fsThaw()

    asked = connection.raw()
    try:
        connection.call(begin, timeout=3 * FLUSHES_WITHIN)
        _wait_for_backup(connection, asked, machine_id, on_bytes, limit)
    except BaseException as error:
        full = _is_stopped_by_full_disk(connection, machine_id)
        abort_backup(connection, machine_id, frozen=quiesce)
        if full and isinstance(error, LabError) and not limit.reached:
            raise _no_space(error.details or error.message) from error
        raise


def _wait_for_backup(
    connection: Connection, asked: libvirt.virConnect, machine_id: str, on_bytes: OnBytes, limit: Limit
) -> None:
    def look(raw: libvirt.virConnect, flags: int) -> dict[str, int]:
        return dict(raw.lookupByUUIDString(machine_id).jobStats(flags))

    def ask(flags: int = 0) -> dict[str, int]:
        try:
            return connection.call(lambda raw: look(raw, flags))
        except LabError as error:  # what a new daemon knows of a job that another one began may make no sense
            if connection.raw() is asked:
                raise
            raise _daemon_gone() from error

    while (job := ask()).get("type") != libvirt.VIR_DOMAIN_JOB_NONE:
        on_bytes(job.get("disk_processed", 0), job.get("disk_total", 0))
        limit.check()
        if connection.raw() is not asked:  # a new daemon may never hear how the job ended
            raise _daemon_gone()
        time.sleep(_LOOK)
    end = ask(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if connection.raw() is not asked:  # it knows of no copy, whether that has ended or not
        raise _daemon_gone()
    if not end.get("success"):
        words = str(end.get("errmsg", ""))
        if os.strerror(errno.ENOSPC) in words:
            raise _no_space(words)
        raise HypervisorError(
            _("The disks could not be copied while the guest ran."),
            _("Is the host's disk full? Free space, or stop the machine, and do it again."),
            details=words,
        )
    on_bytes(end.get("disk_processed", 0), end.get("disk_total", 0))  # a short job may end before the first look
    limit.check()


def _daemon_gone() -> ConnectionLost:
    return ConnectionLost(
        _("The hypervisor's daemon went away during the call."),
        _("Guests go on without it. Do it again: the daemon is started again."),
    )


def _no_space(details: str) -> NoSpace:
    return NoSpace(
        _("No space left on the host's disk while the disks were copied."),
        _("Delete machines you no longer need, or free space on the host; then do it again."),
        details=details,
    )


def _is_stopped_by_full_disk(connection: Connection, machine_id: str) -> bool:
    def look(raw: libvirt.virConnect) -> bool:
        return read_stand(raw.lookupByUUIDString(machine_id), saved=False)[1] is Reason.NO_SPACE

    with contextlib.suppress(LabError):
        return connection.call(look)
    return False


def abort_backup(connection: Connection, machine_id: str, *, frozen: bool) -> None:
    """End a copy that nobody waits for any more, and let the guest go on; if there is no copy, do nothing.

    Args:
        frozen: whether its file systems may be frozen: they are thawed.
    """

    def abort(raw: libvirt.virConnect) -> None:
        if take_over_unread(connection, machine_id):
            raw = connection.raw()
        if end_backup(connection, raw.lookupByUUIDString(machine_id)):
            raw = connection.raw()
        domain = raw.lookupByUUIDString(machine_id)
        if read_stand(domain, saved=False)[1] is Reason.NO_SPACE:  # the agent of a stopped guest does not answer
            with contextlib.suppress(libvirt.libvirtError):
                domain.resume()

    with contextlib.suppress(LabError):
        connection.call(abort)
    if frozen:
        thaw(connection, machine_id)


def build_backup_xml(targets: Mapping[str, tuple[str, Format]]) -> str:
    """Return the XML that begins a backup.

    Args:
        targets: path and format of the image for each disk, by the disk's target.
    """
    disks = [
        _E.disk(_E.target(file=path), _E.driver(type=format.driver), name=name, backup="yes", type="file")
        for name, (path, format) in targets.items()
    ]
    return etree.tostring(_E.domainbackup(_E.disks(*disks), mode="push"), encoding="unicode")
