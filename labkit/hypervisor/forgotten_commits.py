"""A commit that QEMU has completed and whose end a killed daemon has not recorded.

libvirt lets a disk go on in the image below, and records that only after QEMU has told it so and has been answered. If
it is killed in between, its successor believes that the disk is still on the upper image, whose data may be old by
then: it would put the next image on that, and it never lets QEMU close it. It may also believe that the commit still
goes on, which nothing can end, since QEMU has no such job. So what QEMU says is written into the guest's status file,
and the daemon is ended, which guests survive; the next one reads it.

Source: libvirt, `src/qemu/qemu_blockjob.c` (qemuBlockJobProcessEventCompletedActiveCommit, qemuBlockJobRefreshJobs).
Knows: libvirt's status files. Must not know: plans, whose act it is part of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import psutil
from lxml import etree

from labkit.hypervisor.connection import Connection
from labkit.hypervisor.daemon_place import find_own_daemon, status_file
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.forgotten_backups import write_status
from labkit.model.machine import DiskSpec

_ENDS_WITHIN = 5.0  # seconds
_TRIES = 3


def end_commit(connection: Connection, machine_id: str, upper: DiskSpec, lower: DiskSpec) -> None:
    """Let the daemon know that a running guest's disk has gone on in the image below, which QEMU says.

    If the daemon is not one of this session's own, nothing is done.

    Args:
        upper: the image that the daemon believes the disk uses. lower: the one below, which QEMU writes into.

    Raises:
        LabError: libvirt's, translated.
    """
    name = connection.read(lambda raw: str(raw.lookupByUUIDString(machine_id).name()))
    status = status_file(connection.uri, name) if find_own_daemon(connection.uri) else None
    for _try in range(_TRIES if status else 0):
        daemon = find_own_daemon(connection.uri)
        if status is None or not _write_down(status, upper.path, lower.path):
            break
        if daemon is not None:
            with contextlib.suppress(psutil.Error):
                daemon.kill()
                daemon.wait(_ENDS_WITHIN)
    connection.read(lambda raw: raw.getVersion())  # the next daemon's: whoever calls next does not hear of the end


def _write_down(status: Path, upper: str, lower: str) -> bool:
    """Put the image below in the upper one's place; returns whether that was still there."""
    try:
        root = parse(status.read_text())
    except (OSError, etree.XMLSyntaxError):
        return False
    query = "domain/devices/disk[source/@file = $upper and backingStore/source/@file = $lower]"
    found = root.xpath(query, upper=upper, lower=lower)
    for disk in found:
        _come_down(disk)
    if found:
        write_status(status, root)
    return bool(found)


def find_unread(root: Any) -> list[tuple[Any, Any]]:
    """Return the disks, and the commits on them, for which libvirt cannot read a status file of its own.

    libvirt 9.0 notes that QEMU has ended a commit, and forgets what kind of job it was, before it forgets the job.
    """
    disks = {disk.find("target").get("dev"): disk for disk in root.xpath("domain/devices/disk[mirror/@job = '']")}
    jobs = root.xpath("blockjobs/blockjob[@type = 'active-commit' and disk]")
    return [(disks[target], job) for job in jobs if (target := job.find("disk").get("dst")) in disks]


def complete(status: Path) -> None:
    """Complete what a status file says of commits that QEMU has ended, so that libvirt can read it."""
    root = parse(status.read_text())
    for disk, job in find_unread(root):
        lower = disk.find("mirror/source").get("file")
        came_down = (job.get("state"), job.get("newstate")) == ("pivoting", "completed")  # else it was broken off
        while came_down and lower in disk.xpath("backingStore//source/@file"):
            _come_down(disk)
        for mirror in disk.findall("mirror"):
            disk.remove(mirror)
        job.getparent().remove(job)
    write_status(status, root)


def _come_down(disk: Any) -> None:
    """Let a disk be on the image below, in a status file."""
    below = disk.find("backingStore")
    source = below.find("source")
    source.set("index", source.get("index") or below.get("index"))
    disk.find("driver").set("type", below.find("format").get("type"))
    disk.replace(disk.find("source"), source)
    disk.replace(below, below.find("backingStore"))
    for mirror in disk.findall("mirror"):
        disk.remove(mirror)
