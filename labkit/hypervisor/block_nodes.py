"""Which images a guest's QEMU has open, as QEMU says: a killed daemon may have told it more than it wrote down.

libvirt lets QEMU open an image (`blockdev-add`), then lets a disk go on in it (`transaction`), and only then writes
that down. If it is killed before, the next daemon knows only what was written down. So QEMU may hold open images that
no disk uses, and nobody would close them until the guest ends: their files stay locked, and the next image is refused,
since libvirt gives it a node name that is in use. Or a disk goes on in an image that the daemon does not know: what the
guest writes there would be lost at its next start.

Source: QEMU, `docs/interop/qmp-ref`; libvirt, `src/qemu/qemu_block.c` (how it names nodes).
Knows: QEMU's block nodes, through libvirt. Must not know: plans, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import libvirt

from labkit.errors import HypervisorError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.jobs import wait_until
from labkit.hypervisor.monitor import ask
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import DiskSpec

_OF_THE_DAEMON = re.compile(r"libvirt-(\d+)-")
"""How libvirt begins a node's name; the number is the image's index in the definition of the running guest."""


def find_written(connection: Connection, machine_id: str) -> frozenset[str]:
    """Return the absolute paths of the images that a guest's disks write into now; none if the guest is off."""
    return frozenset(connection.read(lambda raw: _tops(raw.lookupByUUIDString(machine_id))))


def close_forgotten(connection: Connection, machine_id: str) -> None:
    """Let a guest's QEMU close the images that a daemon let it open and the present one does not know.

    An image that a disk, a job or another image uses stays open, since QEMU refuses to close it. For a guest that is
    off nothing is done.

    Raises:
        LabError: libvirt's, translated.
    """

    def close(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        if not domain.isActive():
            return
        known = {int(number) for number in parse(domain.XMLDesc(0)).xpath("//disk//@index")}
        nodes = ask(domain, "query-named-block-nodes", flat=True)
        forgotten = [node for node in nodes if (number := _number(node)) is not None and number not in known]
        for node in sorted(forgotten, key=lambda node: node["drv"] == "file"):  # formats first: they use the files
            with contextlib.suppress(HypervisorError):  # it is in use
                ask(domain, "blockdev-del", **{"node-name": node["node-name"]})

    connection.call(close)


def unplug_forgotten(connection: Connection, machine_id: str, disk: DiskSpec, limit: Limit) -> None:
    """Take a disk from a running guest that a daemon gave it and the present one does not know.

    For libvirt the guest has never had it, so QEMU is asked directly. If the guest has no such disk nothing is done.

    Raises:
        TimedOut: the guest does not release it within the limit. LabError: libvirt's, translated.
    """

    def ask_for_it(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        known = parse(domain.XMLDesc(0)).xpath("boolean(./devices/disk/source[@file = $path])", path=disk.path)
        for device in [] if known or not domain.isActive() else ask(domain, "query-block"):
            if "inserted" in device and _file(device["inserted"]) == disk.path:
                with contextlib.suppress(HypervisorError):  # the guest has been asked already
                    ask(domain, "device_del", id=Path(device["qdev"]).parent.name)

    def is_released(raw: libvirt.virConnect) -> bool:
        return disk.path not in _tops(raw.lookupByUUIDString(machine_id))

    connection.call(ask_for_it)
    wait_until(connection, is_released, limit)
    close_forgotten(connection, machine_id)


def go_back(connection: Connection, machine_id: str, disk: DiskSpec, old: DiskSpec, limit: Limit) -> None:
    """Move down what a running guest wrote into an overlay that its daemon does not know, and let it go on below.

    For libvirt the disk has been on the old image all the time, so QEMU is asked directly. It may be called again.

    Raises:
        HypervisorError: QEMU refuses. LabError: libvirt's, translated. TimedOut: from the limit; the job goes on.
    """
    job = f"labkit-back-{disk.target}"

    def begin(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        top, base = _tops(domain).get(disk.path), _find_base(domain, old.path)
        if top and base and _status(domain, job) is None:
            ask(domain, "block-commit", **{"job-id": job, "device": top, "base-node": base})

    def is_over(raw: libvirt.virConnect) -> bool:
        domain = raw.lookupByUUIDString(machine_id)
        status = _status(domain, job)
        if status == "ready":
            ask(domain, "job-complete", id=job)
        return status is None

    connection.call(begin)
    wait_until(connection, is_over, limit)
    if disk.path in find_written(connection, machine_id):
        raise HypervisorError(
            _("{target}: QEMU did not move back what the guest wrote.").format(target=disk.target),
            _("Is the host's disk full? Free space, or stop the machine, and do it again."),
        )
    close_forgotten(connection, machine_id)


def _tops(domain: libvirt.virDomain) -> dict[str, str]:
    """The names of the nodes that a guest's disks write into, by the image's path."""
    if not domain.isActive():
        return {}
    used = [device["inserted"] for device in ask(domain, "query-block") if "inserted" in device]
    return {_file(node): node["node-name"] for node in used}


def _find_base(domain: libvirt.virDomain, path: str) -> str | None:
    """The name of the node through which an image is read: the one for its format.

    A raw image may have only a file node: newer daemons leave the format node out.
    """
    nodes = [node for node in ask(domain, "query-named-block-nodes", flat=True) if _file(node) == path]
    ours = [node for node in nodes if _number(node) is not None]
    formats = [node["node-name"] for node in ours if node["drv"] != "file"] or [node["node-name"] for node in ours]
    return formats[0] if len(formats) == 1 else None


def _number(node: dict[str, Any]) -> int | None:
    named = _OF_THE_DAEMON.match(node["node-name"])
    return int(named.group(1)) if named else None


def _file(node: dict[str, Any]) -> str:
    """The path of a node's own file; QEMU gives options instead of a path for an image that was opened with some."""
    text = str(node["file"])
    if not text.startswith("json:"):
        return text
    options = json.loads(text.removeprefix("json:"))
    while isinstance(options.get("file"), dict):
        options = options["file"]
    return str(Path(options.get("filename", "")))


def _status(domain: libvirt.virDomain, job: str) -> str | None:
    """The status of one of our jobs, or None if there is no such job (any more)."""
    return next((each["status"] for each in ask(domain, "query-jobs") if each["id"] == job), None)
