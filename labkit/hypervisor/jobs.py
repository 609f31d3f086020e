"""Long jobs of a running guest on its images: moving data up into its active image or down from it.

Knows: libvirt's jobs. Must not know: plans, whose act it is part of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import libvirt
import libvirt_qemu

from labkit.errors import ConnectionLost, LabError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.domains import mark_act
from labkit.hypervisor.monitor import activate_images
from labkit.limits import Limit, OnBytes
from labkit.model.machine import DiskSpec

LOOK = 0.1
"""Seconds between two looks at a job, if no event says sooner that it has moved on."""


def wait_for_job(connection: Connection, machine_id: str, limit: Limit) -> None:
    """Wait until the daemon no longer works on a machine: it completes what an interrupted act began."""

    def is_idle(raw: libvirt.virConnect) -> bool:
        domain = raw.lookupByUUIDString(machine_id)
        try:
            if domain.isActive() and domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
                return False
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            return False  # it has just ended: look again
        with contextlib.suppress(libvirt.libvirtError):  # it may no longer be defined
            mark_act(domain)  # a change waits for the end of any job, also of one that jobInfo does not show
        return True

    wait_until(connection, is_idle, limit)


def commit(connection: Connection, machine_id: str, disk: DiskSpec, old: DiskSpec, limit: Limit) -> None:
    """Move what a running guest wrote into an overlay down into the image below, and let the guest go on there.

    The image below may have no other dependants: this is for a snapshot that was not completed.
    """

    def begin(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if not domain.blockJobInfo(disk.target, 0):  # else a process or daemon that has died began it
            activate_images(domain)
            domain.blockCommit(disk.target, old.path, disk.path, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)

    def is_ready(raw: libvirt.virConnect) -> bool:
        job = raw.lookupByUUIDString(machine_id).blockJobInfo(disk.target, 0)
        return bool(job) and job["cur"] == job["end"]

    def pivot(raw: libvirt.virConnect) -> None:
        raw.lookupByUUIDString(machine_id).blockJobAbort(disk.target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)

    connection.call(begin)
    wait_until(connection, is_ready, limit)
    connection.call(pivot)


def pull(
    connection: Connection, machine_id: str, target: str, onto: str | None, limit: Limit, on_bytes: OnBytes
) -> None:
    """Move everything between a running guest's active image and a lower one up into the active image.

    A pull that a killed process began is waited for, and one that has ended is not done again. If the pull is broken
    off, the image still depends on the same images, and holds only copies of what they hold. If it ends well,
    everything is in the file.

    Args:
        onto: absolute path of the image it then depends on, or None: it stands alone.
        on_bytes: called with bytes done and bytes in all.

    Raises:
        Cancelled, TimedOut: from the limit; the job has ended. LabError: libvirt's, translated.
    """

    def begin(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if not domain.blockJobInfo(target, 0) and _below(domain, target) != onto:
            flags = libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE if onto else 0
            activate_images(domain)
            domain.blockRebase(target, onto, 0, flags)

    def look(raw: libvirt.virConnect) -> tuple[int, int] | None:
        job = raw.lookupByUUIDString(machine_id).blockJobInfo(target, 0)
        return (job["cur"], job["end"]) if job else None

    def abort(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        try:
            domain.blockJobAbort(target, 0)
        except libvirt.libvirtError:
            if domain.blockJobInfo(target, 0):
                raise  # else the job had just ended by itself

    def pull_once() -> None:
        connection.call(begin)  # an error may be returned although the job has begun
        while True:
            count = connection.events.count
            bytes_done = connection.read(look)
            if bytes_done is None:
                return
            on_bytes(*bytes_done)
            limit.check()
            connection.events.wait_beyond(count, min(limit.left, LOOK))

    try:
        pull_once()
        # A daemon killed right after it began left its successor a chain that QEMU no longer has, with images that
        # QEMU holds open and nobody would close. Pulling once more moves nothing, and the successor hears of its end.
        pull_once()
    except BaseException:
        connection.call(abort)  # it returns when the job has ended
        raise
    flush(connection, machine_id)


def _below(domain: libvirt.virDomain, target: str) -> str | None:
    """The image below a running guest's active image, as its daemon recorded it; None: that stands alone."""
    found = parse(domain.XMLDesc(0)).xpath("./devices/disk[target/@dev = $target]/backingStore/source", target=target)
    return found[0].get("file") if found else None


def flush(connection: Connection, machine_id: str) -> None:
    """Let a guest's QEMU write the tables that it holds back, which say where a job has moved data to.

    It does so whenever the guest's CPUs are stopped, so they are stopped for an instant.

    Raises:
        LabError: libvirt's, translated; the guest may have ended.
    """

    def stop(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if not ran:  # paused already: suspend() would do nothing
            libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "stop"}', 0)
        else:
            domain.suspend()
            domain.resume()

    def go_on(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    ran = connection.read(
        lambda raw: raw.lookupByUUIDString(machine_id).state()[0] != libvirt.VIR_DOMAIN_PAUSED,
    )
    try:
        connection.call(stop)
    except ConnectionLost:
        if ran:  # if the daemon died in between, the guest must not be left paused
            with contextlib.suppress(LabError):
                connection.call(go_on)
        raise


def wait_until(connection: Connection, is_over: Callable[[libvirt.virConnect], bool], limit: Limit) -> None:
    """Look again and again until something is over: at each event of the hypervisor, and in between.

    Raises:
        Cancelled, TimedOut: from the limit. LabError: libvirt's, translated.
    """
    events = connection.events
    while True:
        count = events.count
        if connection.read(is_over):
            return
        limit.check()
        events.wait_beyond(count, min(limit.left, LOOK))
