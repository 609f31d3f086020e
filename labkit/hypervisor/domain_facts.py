"""libvirt's domains read as our values: what a machine is, its state and why, what it uses.

Each function takes libvirt's own objects and is called inside a `Connection.call`.
Knows: libvirt's numbers of states and reasons. Must not know: connections.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import libvirt

from labkit.hypervisor import domain_xml
from labkit.hypervisor.snapshot_reading import read_texts
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.usage import DiskUsage, MachineUsage
from labkit.units import KIB

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: MachineState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: MachineState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: MachineState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: MachineState.RUNNING,
    libvirt.VIR_DOMAIN_CRASHED: MachineState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: MachineState.PAUSED,
}

_REASONS = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED): Reason.BOOTED,
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED): Reason.RESTORED,
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_FROM_SNAPSHOT): Reason.RESTORED,
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED): Reason.MIGRATED,
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED): Reason.BY_USER,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): Reason.BY_USER,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): Reason.IO_ERROR,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): Reason.PANICKED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): Reason.SHUT_DOWN,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): Reason.KILLED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): Reason.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): Reason.FAILED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED): Reason.MIGRATED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SAVED): Reason.SAVED,
}


def read_all(
    raw: libvirt.virConnect, lab_id: str, home: str
) -> tuple[dict[str, MachineFacts], dict[str, frozenset[str]]]:
    """Return the machines of a lab by name, and the files that every other domain needs, by that domain's name.

    The other domains do not carry the lab's mark (it was removed, or they were made by hand), and yet their files are
    not free.

    Args:
        home: the lab's folder.
    """
    saved = {domain.UUIDString() for domain in raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)}
    machines: dict[str, MachineFacts] = {}
    others: dict[str, frozenset[str]] = {}
    for domain in raw.listAllDomains(0):
        try:
            facts = read(domain, lab_id, saved=domain.UUIDString() in saved)
            if facts is None:
                others[domain.name()] = _files_of(home, domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                continue  # it was removed between the listing and the reading
            raise
        if facts is not None:
            machines[facts.name] = facts
    return dict(sorted(machines.items())), others


def _files_of(home: str, domain: libvirt.virDomain) -> frozenset[str]:
    """The files that a domain names; if one of them is below the folder, also those that its snapshots name."""
    texts = [domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), *([domain.XMLDesc(0)] if domain.isActive() else [])]
    files = _seen_from(home, texts)
    if not any(path.startswith(f"{home}/") for path in files):
        return files
    return files | _seen_from(home, read_texts(domain).values())


def _seen_from(home: str, texts: Iterable[str]) -> frozenset[str]:
    """The files that definitions name; those below the folder by its path, whatever links they are named through."""
    real = f"{os.path.realpath(home)}/"
    named = {path for text in texts for path in domain_xml.find_files(text)}
    places = {path: os.path.realpath(path) for path in named}
    return frozenset(
        os.path.join(home, place.removeprefix(real)) if home and place.startswith(real) else path
        for path, place in places.items()
    )


def read(domain: libvirt.virDomain, lab_id: str, *, saved: bool) -> MachineFacts | None:
    """Return the machine that a domain is, or None if it is not of this lab. `saved`: whether it has saved memory."""
    spec = domain_xml.parse_domain_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if spec is None or spec.lab_id != lab_id:
        return None
    state, reason = read_stand(domain, saved=saved)
    active = state in (MachineState.RUNNING, MachineState.PAUSED)
    live = domain_xml.parse_domain_xml(domain.XMLDesc(0)) if active else None
    return MachineFacts(spec=spec, live=live, state=state, reason=reason)


def read_stand(domain: libvirt.virDomain, *, saved: bool) -> tuple[MachineState, Reason]:
    """Return a domain's state and why; for a guest that a disk stopped, also whether the host lacks space.

    QEMU keeps the first error of a disk until the guest is started again.
    """
    state, reason = read_state(domain.state(), saved=saved)
    if reason is not Reason.IO_ERROR:
        return state, reason
    try:
        errors = domain.diskErrors()
    except libvirt.libvirtError:  # it has already gone on, or has just ended
        return state, reason
    full = libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE in errors.values()
    return state, Reason.NO_SPACE if full else reason


def read_state(raw: list[int], *, saved: bool) -> tuple[MachineState, Reason]:
    """Return the state and the reason that libvirt's pair of numbers stands for."""
    number, why = raw[0], raw[1]
    if (number, why) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP):
        number, why = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED  # for an instant at each start
    reason = _REASONS.get((number, why), Reason.UNKNOWN)
    if number == libvirt.VIR_DOMAIN_SHUTDOWN:
        reason = Reason.SHUTTING_DOWN
    if number in _STATES:
        return _STATES[number], reason
    return (MachineState.SAVED, Reason.SAVED) if saved else (MachineState.OFF, reason)


def read_usage(domain: libvirt.virDomain, values: Mapping[str, Any]) -> MachineUsage:
    """Return what a domain uses, from libvirt's statistics of it."""
    blocks = range(int(values.get("block.count", 0)))
    state, _reason = read_state([values.get("state.state", 0), values.get("state.reason", 0)], saved=False)
    return MachineUsage(
        machine_id=domain.UUIDString(),
        state=state,
        cpu_time=values.get("cpu.time", 0) / 1e9,
        memory=values.get("balloon.rss", 0) * KIB,
        disks=tuple(_disk_usage(values, index) for index in blocks),
    )


def _disk_usage(values: Mapping[str, Any], index: int) -> DiskUsage:
    return DiskUsage(
        target=values.get(f"block.{index}.name", ""),
        path=values.get(f"block.{index}.path", ""),
        reads=values.get(f"block.{index}.rd.reqs", 0),
        writes=values.get(f"block.{index}.wr.reqs", 0),
        read_bytes=values.get(f"block.{index}.rd.bytes", 0),
        written_bytes=values.get(f"block.{index}.wr.bytes", 0),
    )
