"""Domains: reading, defining and switching them.

Every domain is looked up by its UUID each time, since libvirt's handles do not survive a daemon. Work on its disks and
talk with its guest are in `disks.py` and `channels.py`, on top of this module.
Knows: libvirt's domains. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import libvirt

from labkit.errors import HypervisorError, LabError, NotFound
from labkit.hypervisor import domain_facts, domain_xml
from labkit.hypervisor.connection import CALL_LIMIT, Connection
from labkit.hypervisor.daemon_place import find_config_folder
from labkit.hypervisor.errors import agent_silence
from labkit.hypervisor.launching import once_log_is_free, renew_sockets
from labkit.hypervisor.sockets import find_lack_of_room, place_sockets
from labkit.limits import Limit
from labkit.model.machine import (
    DiskSpec,
    MachineChanges,
    MachineFacts,
    MachineSpec,
    MachineState,
    Reason,
)
from labkit.model.usage import MachineUsage

R = TypeVar("R")

ACT_NAMESPACE = "urn:labkit:act:1"
"""The XML namespace of the mark that an act leaves, so that other kernels hear of it."""

_FIRST_DEFINE = 120.0  # seconds: the first definition makes libvirt ask every emulator for its capabilities

_USAGE = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
_USAGE |= libvirt.VIR_DOMAIN_STATS_BLOCK


class Domains:
    """The domains of one hypervisor instance."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # --- reading ----------------------------------------------------------------------------------

    def read_all(self, lab_id: str, home: str = "") -> tuple[dict[str, MachineFacts], dict[str, frozenset[str]]]:
        """Return the machines of a lab by name, and the files that every other domain needs, by that domain's name.

        Args:
            home: the lab's folder, absolute.
        """
        return self.connection.read(lambda raw: domain_facts.read_all(raw, lab_id, home))

    def read_one(self, machine_id: str, lab_id: str) -> MachineFacts | None:
        """Return one machine of a lab, or None if there is none, or it is not of this lab."""

        def look(raw: libvirt.virConnect) -> MachineFacts | None:
            domain = raw.lookupByUUIDString(machine_id)
            return domain_facts.read(domain, lab_id, saved=bool(domain.hasManagedSaveImage()))

        try:
            return self.connection.read(look)
        except NotFound:
            return None

    def state(self, machine_id: str) -> tuple[MachineState, Reason]:
        """Return one machine's state and why."""

        def look(raw: libvirt.virConnect) -> tuple[MachineState, Reason]:
            domain = raw.lookupByUUIDString(machine_id)
            return domain_facts.read_stand(domain, saved=bool(domain.hasManagedSaveImage()))

        return self.connection.read(look)

    def is_active(self, machine_id: str) -> bool:
        """Return whether a domain is active for the hypervisor, which includes starting and ending."""
        return bool(self.on(machine_id, lambda domain: domain.isActive()))

    def usage(self) -> Mapping[str, MachineUsage]:
        """Return what every domain uses, by UUID: one call, whatever their number."""
        nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        stats = self.connection.read(lambda raw: raw.getAllDomainStats(_USAGE, nowait))
        usages = (domain_facts.read_usage(domain, values) for domain, values in stats)
        return {usage.machine_id: usage for usage in usages}

    def xml(self, machine_id: str, *, persistent: bool = True) -> str:
        """Return a domain's XML: the persistent definition, or the live one of a running guest."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if persistent else 0
        return str(self.on(machine_id, lambda domain: domain.XMLDesc(flags)))

    # --- definitions ------------------------------------------------------------------------------

    def define(self, spec: MachineSpec) -> None:
        """Define a new machine."""
        self.define_text(domain_xml.build_domain_xml(spec), subject=spec.name)

    def define_text(self, xml: str, *, subject: str = "") -> None:
        """Define a machine by a text; its sockets get their paths on this instance."""
        placed = place_sockets(xml, self.connection.runtime)
        self.connection.call(lambda raw: raw.defineXML(placed), subject=subject, timeout=_FIRST_DEFINE)

    def read_ids(self) -> frozenset[str]:
        """Return the UUIDs of all domains, of whatever lab or program."""
        return self.connection.read(lambda raw: frozenset(domain.UUIDString() for domain in raw.listAllDomains(0)))

    def configure(self, machine_id: str, changes: MachineChanges) -> None:
        """Change the persistent definition."""
        self.define_text(domain_xml.change_domain_xml(self.xml(machine_id), changes))

    def rename(self, machine_id: str, domain_name: str, machine_name: str) -> None:
        """Rename a domain that is off, also on its kernel's command line; it may be called again."""

        def give_name(domain: libvirt.virDomain) -> None:
            if domain.name() != domain_name:
                domain.rename(domain_name, 0)

        self.on(machine_id, give_name, subject=machine_name)
        self.define_text(domain_xml.rename_in_domain_xml(self.xml(machine_id), machine_name), subject=machine_name)

    def repoint(self, machine_id: str, *disks: DiskSpec) -> None:
        """Let a domain use other images for disks from its next start on."""
        repointed = self.xml(machine_id)
        for disk in disks:
            repointed = domain_xml.repoint_in_domain_xml(repointed, disk)
        self.define_text(repointed)

    def undefine(self, machine_id: str) -> None:
        """Make the hypervisor forget a domain, with its saved memory and the metadata of its snapshots."""
        flags = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
        self.on(machine_id, lambda domain: domain.undefineFlags(flags))

    def announce(self, machine_ids: Iterable[str]) -> None:
        """Let every listener hear that these machines changed, by an event of their metadata.

        Nothing waits for that. A machine that is gone is passed over, since its end was an event itself.
        """
        for machine_id in machine_ids:
            with contextlib.suppress(LabError):  # no daemon: whoever reconnects reads again
                self.connection.post(functools.partial(_announce, machine_id))

    # --- switching --------------------------------------------------------------------------------

    def start(
        self, machine_id: str, *, subject: str, timeout: float = 120, cancel: threading.Event | None = None
    ) -> None:
        """Boot a guest, or resume it where it was saved.

        Args:
            cancel: set it to stop waiting for what an emulator that has just ended still holds.

        Raises:
            HostTrouble: the host has no room for the path of its monitor's socket.
        """

        def begin(domain: libvirt.virDomain) -> None:
            if trouble := find_lack_of_room(domain.name(), find_config_folder(self.connection.uri)):
                raise trouble
            renew_sockets(domain, self.connection.runtime)
            domain.create()

        self.on(machine_id, once_log_is_free(begin, Limit(cancel=cancel)), subject=subject, timeout=timeout)

    def kill(self, machine_id: str, *, subject: str = "") -> None:
        """End the QEMU process as a power cut would."""
        self.on(machine_id, lambda domain: domain.destroy(), subject=subject)

    def pause(self, machine_id: str, *, subject: str) -> None:
        """Stop the guest's CPUs."""
        self.on(machine_id, lambda domain: domain.suspend(), subject=subject)

    def resume(self, machine_id: str, *, subject: str) -> None:
        """Let the guest's CPUs go on."""
        self.on(machine_id, lambda domain: domain.resume(), subject=subject)

    def ask_shutdown(self, machine_id: str, *, subject: str, agent: bool) -> None:
        """Ask the guest to shut down, through its agent or the ACPI power button.

        Raises:
            GuestError: the agent refused, or is silent.
        """
        mode = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT if agent else libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        try:
            self.on(machine_id, lambda domain: domain.shutdownFlags(mode), subject=subject)
        except HypervisorError as error:
            if not agent or error.code != libvirt.VIR_ERR_INTERNAL_ERROR:
                raise
            raise agent_silence(error.details, subject=subject) from error

    def pin(self, machine_id: str, cpu: int | None, *, host_cpus: int, subject: str) -> None:
        """Bind all vCPUs to one host CPU, or to any (None), now and from every start."""
        cpus = tuple(cpu is None or index == cpu for index in range(host_cpus))

        def bind(domain: libvirt.virDomain) -> None:
            live = (libvirt.VIR_DOMAIN_AFFECT_LIVE,) if domain.isActive() else ()
            for flags in (*live, libvirt.VIR_DOMAIN_AFFECT_CONFIG):
                for vcpu in range(domain.vcpusFlags(flags)):
                    domain.pinVcpuFlags(vcpu, cpus, flags)

        self.on(machine_id, bind, subject=subject)

    # --- for every verb ---------------------------------------------------------------------------

    def wait_for(
        self,
        reached: Callable[[], R | None],
        limit: Limit,
    ) -> R | None:
        """Return the first result of `reached` that is not None, or None when the limit is reached.

        It is called again after each event, and every quarter of a second.
        """
        events = self.connection.events
        while True:
            count = events.count
            if (answer := reached()) is not None:
                return answer
            if limit.reached:
                return None
            events.wait_beyond(count, min(limit.left, 0.25))

    def on(
        self,
        machine_id: str,
        verb: Callable[[libvirt.virDomain], R],
        *,
        subject: str = "",
        timeout: float = CALL_LIMIT,
    ) -> R:
        """Call a function with a domain in a worker thread, and return its result.

        Args:
            subject: the machine's name, for the errors. timeout: seconds.
        """
        return self.connection.call(
            lambda raw: verb(raw.lookupByUUIDString(machine_id)), subject=subject, timeout=timeout
        )


def _announce(machine_id: str, raw: libvirt.virConnect) -> None:
    mark_act(raw.lookupByUUIDString(machine_id))


def mark_act(domain: libvirt.virDomain) -> None:
    """Leave a mark in a domain's metadata, of which every listener hears."""
    element = f"<act at='{time.time_ns()}'/>"
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "labkit-act", ACT_NAMESPACE, flags)
