"""Domains: what they are and how they stand, and the verbs on one of them.

Every domain here is looked up by its UUID, each time: handles do not survive a daemon.
Knows: libvirt's domains. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import libvirt
import libvirt_qemu

from labkit.errors import HypervisorError, LabError, NotFound, TimedOut
from labkit.hypervisor import domain_xml
from labkit.hypervisor.connection import CALL_LIMIT, Connection
from labkit.hypervisor.errors import agent_refusal, agent_silence
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import (
    DiskSpec,
    DiskUsage,
    MachineChanges,
    MachineFacts,
    MachineSpec,
    MachineState,
    MachineUsage,
    Reason,
)
from labkit.units import KIB

R = TypeVar("R")

ACT_NAMESPACE = "urn:labkit:act:1"
"""The XML namespace of the mark an act leaves, so that other kernels hear of it."""

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

_FIRST_DEFINE = 120.0  # seconds: the first one makes libvirt ask every emulator what it can
_UNPLUG_LIMIT = 20.0
_CONSOLE_LOOK = 1.5
_CONSOLE_CHUNK = 4096
_NOTHING_YET = -2
_PING = {"execute": "guest-ping"}

_USAGE = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
_USAGE |= libvirt.VIR_DOMAIN_STATS_BLOCK


class Domains:
    """The domains of one hypervisor instance."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # --- reading ----------------------------------------------------------------------------------

    def read_all(self, lab_id: str) -> tuple[dict[str, MachineFacts], frozenset[str]]:
        """Return the machines of a lab by name, and the names of all other domains."""
        return self.connection.read(lambda raw: _read_all(raw, lab_id))

    def read_one(self, machine_id: str, lab_id: str) -> MachineFacts | None:
        """Return one machine of a lab, or None: there is none, or it is not of this lab."""

        def look(raw: libvirt.virConnect) -> MachineFacts | None:
            domain = raw.lookupByUUIDString(machine_id)
            return _read(domain, lab_id, saved=bool(domain.hasManagedSaveImage()))

        try:
            return self.connection.read(look)
        except NotFound:
            return None

    def usage(self) -> Mapping[str, MachineUsage]:
        """Return what every domain uses, by UUID: one call, whatever their number."""
        nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        stats = self.connection.read(lambda raw: raw.getAllDomainStats(_USAGE, nowait))
        return {usage.machine_id: usage for usage in (_usage(domain, values) for domain, values in stats)}

    def xml(self, machine_id: str, *, persistent: bool = True) -> str:
        """Return a domain's XML: the persistent definition, or the live one of a running guest."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if persistent else 0
        return str(self._on(machine_id, lambda domain: domain.XMLDesc(flags)))

    # --- definitions ------------------------------------------------------------------------------

    def define(self, spec: MachineSpec) -> None:
        """Make a new machine known."""
        xml = domain_xml.build_domain_xml(spec)
        self.connection.call(lambda raw: raw.defineXML(xml), subject=spec.name, timeout=_FIRST_DEFINE)

    def configure(self, machine_id: str, changes: MachineChanges) -> None:
        """Change the persistent definition."""
        changed = domain_xml.change_domain_xml(self.xml(machine_id), changes)
        self.connection.call(lambda raw: raw.defineXML(changed))

    def rename(self, machine_id: str, domain_name: str, machine_name: str) -> None:
        """Give a domain that is off another name, and tell its kernel's command line; once is enough."""

        def give_name(domain: libvirt.virDomain) -> None:
            if domain.name() != domain_name:
                domain.rename(domain_name, 0)

        self._on(machine_id, give_name, subject=machine_name)
        renamed = domain_xml.rename_in_domain_xml(self.xml(machine_id), machine_name)
        self.connection.call(lambda raw: raw.defineXML(renamed), subject=machine_name)

    def attach(self, machine_id: str, disk: DiskSpec) -> None:
        """Attach a disk to the definition and, where there is one, to the running guest; once is enough."""
        xml = domain_xml.build_disk_xml(disk)
        for flag, persistent in self._views(machine_id):
            if domain_xml.find_disk_xml(self.xml(machine_id, persistent=persistent), disk.target) is None:
                self._on(machine_id, partial(_attach_device, xml, flag))

    def detach(self, machine_id: str, target: str, limit: Limit) -> None:
        """Take a disk from the running guest, wait until it has let go, and from the definition.

        Raises:
            TimedOut: the guest does not let go of it; it stays attached.
        """
        for flag, persistent in self._views(machine_id):
            xml = domain_xml.find_disk_xml(self.xml(machine_id, persistent=persistent), target)
            if xml is None:
                continue
            self._on(machine_id, partial(_detach_device, xml, flag))
            if persistent:
                continue

            def has_gone() -> bool | None:
                live = self.xml(machine_id, persistent=False)
                return True if domain_xml.find_disk_xml(live, target) is None else None

            if self.wait_for(has_gone, Limit(min(limit.left, _UNPLUG_LIMIT))) is None:
                raise TimedOut(
                    _("The guest does not let go of {target}.").format(target=target),
                    _("Is it still booting, or using the disk? Unmount it inside, or stop the machine first."),
                )

    def repoint(self, machine_id: str, *disks: DiskSpec) -> None:
        """Let a domain use other images for disks from its next start."""
        repointed = self.xml(machine_id)
        for disk in disks:
            repointed = domain_xml.repoint_in_domain_xml(repointed, disk)
        self.connection.call(lambda raw: raw.defineXML(repointed))

    def grow_disk(self, machine_id: str, target: str, capacity: int) -> None:
        """Give a running guest's disk more capacity (bytes)."""
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._on(machine_id, lambda domain: domain.blockResize(target, capacity, flags))

    def throttle(self, machine_id: str, target: str, *, iops: int, bytes_per_second: int, subject: str) -> None:
        """Limit a disk's requests and bytes per second, now and from every start; 0 is no limit."""
        limits = {"total_iops_sec": iops, "total_bytes_sec": bytes_per_second}
        for flag, _persistent in self._views(machine_id):
            self._on(machine_id, partial(_tune_disk, target, limits, flag), subject=subject)

    def _views(self, machine_id: str) -> tuple[tuple[int, bool], ...]:
        """The flags to change a domain with: the running guest first, then the definition."""
        config = (libvirt.VIR_DOMAIN_AFFECT_CONFIG, True)
        active = self._on(machine_id, lambda domain: bool(domain.isActive()))
        return ((libvirt.VIR_DOMAIN_AFFECT_LIVE, False), config) if active else (config,)

    def undefine(self, machine_id: str) -> None:
        """Make the hypervisor forget a domain, with its saved memory and the metadata of its snapshots."""
        flags = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
        self._on(machine_id, lambda domain: domain.undefineFlags(flags))

    def announce(self, machine_ids: Iterable[str]) -> None:
        """Make every other listener hear that these machines changed: an event of their metadata."""
        for machine_id in machine_ids:
            try:
                self._on(machine_id, _mark_act)
            except LabError:
                continue  # it is gone: its end was an event itself

    # --- switching --------------------------------------------------------------------------------

    def start(self, machine_id: str, *, subject: str, timeout: float = 120) -> None:
        """Boot a guest, or resume it where it was saved."""
        self._on(machine_id, lambda domain: domain.create(), subject=subject, timeout=timeout)

    def kill(self, machine_id: str, *, subject: str = "") -> None:
        """End the QEMU process as a power cut would."""
        self._on(machine_id, lambda domain: domain.destroy(), subject=subject)

    def pause(self, machine_id: str, *, subject: str) -> None:
        """Stop the guest's CPUs."""
        self._on(machine_id, lambda domain: domain.suspend(), subject=subject)

    def resume(self, machine_id: str, *, subject: str) -> None:
        """Let the guest's CPUs go on."""
        self._on(machine_id, lambda domain: domain.resume(), subject=subject)

    def save(self, machine_id: str, *, subject: str, timeout: float = 120, then_runs: bool | None = None) -> None:
        """Write memory and devices to a file and end the process; aborted when the time is up.

        Args:
            then_runs: whether the guest runs or is paused when it goes on; None: as it is now.
        """
        flags = {None: 0, True: libvirt.VIR_DOMAIN_SAVE_RUNNING, False: libvirt.VIR_DOMAIN_SAVE_PAUSED}[then_runs]
        try:
            self._on(machine_id, lambda domain: domain.managedSave(flags), subject=subject, timeout=timeout)
        except TimedOut:
            with contextlib.suppress(LabError):  # it has just ended, and with it what could be aborted
                self._on(machine_id, lambda domain: domain.abortJob(), subject=subject)
            raise

    def ask_shutdown(self, machine_id: str, *, subject: str, agent: bool) -> None:
        """Ask the guest to shut down, through its agent or the ACPI power button.

        Raises:
            GuestError: the agent refused, or is silent.
        """
        mode = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT if agent else libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        try:
            self._on(machine_id, lambda domain: domain.shutdownFlags(mode), subject=subject)
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

        self._on(machine_id, bind, subject=subject)

    def state(self, machine_id: str) -> tuple[MachineState, Reason]:
        """Return one machine's state and why."""

        def look(raw: libvirt.virConnect) -> tuple[MachineState, Reason]:
            domain = raw.lookupByUUIDString(machine_id)
            return _state(domain.state(), saved=bool(domain.hasManagedSaveImage()))

        return self.connection.read(look)

    def wait_for(
        self,
        reached: Callable[[], R | None],
        limit: Limit,
    ) -> R | None:
        """Return what `reached` answers as soon as it is not None; None when the limit is reached.

        It is asked again after each event and each quarter of a second.
        """
        events = self.connection.events
        while True:
            count = events.count
            if (answer := reached()) is not None:
                return answer
            if limit.reached:
                return None
            events.wait_beyond(count, min(limit.left, 0.25))

    # --- channels of the guest --------------------------------------------------------------------

    def agent_command(self, machine_id: str, command: Mapping[str, Any], *, subject: str, timeout: float) -> Any:
        """Return the `return` value of one command to the guest agent.

        Raises:
            GuestSilent: no agent is connected, or no answer within `timeout` seconds.
            GuestError: the agent refused.
        """
        text = json.dumps(command)
        limit = max(1, round(timeout))
        try:
            answer = self._on(
                machine_id,
                lambda domain: libvirt_qemu.qemuAgentCommand(domain, text, limit, 0),
                subject=subject,
                timeout=timeout + 5,
            )
        except HypervisorError as error:
            # libvirt before 10 has one number for what the agent refused and for a line that broke.
            if error.code != libvirt.VIR_ERR_INTERNAL_ERROR:
                raise
            if command != _PING and self._agent_answers(machine_id, subject=subject):
                raise agent_refusal(error.details, subject=subject) from error
            raise agent_silence(error.details, subject=subject) from error
        return json.loads(answer).get("return")

    def _agent_answers(self, machine_id: str, *, subject: str) -> bool:
        try:
            self.agent_command(machine_id, _PING, subject=subject, timeout=2)
        except LabError:
            return False
        return True

    def send_to_console(self, machine_id: str, data: bytes, *, subject: str) -> None:
        """Type bytes on the guest's serial line; whoever else had the line open (virsh console) loses it.

        QEMU looks only once a second whether somebody opened the line, and what is typed is lost if the line
        is closed before. So it stays open until the guest has answered something, or for that long.
        """

        def type_in(raw: libvirt.virConnect) -> None:
            stream = raw.newStream(libvirt.VIR_STREAM_NONBLOCK)
            raw.lookupByUUIDString(machine_id).openConsole("serial0", stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            end, left = time.monotonic() + _CONSOLE_LOOK, data
            try:
                while time.monotonic() < end:
                    if left:
                        left = left[max(0, stream.send(left)) :]
                    elif stream.recv(_CONSOLE_CHUNK) != _NOTHING_YET:
                        break
                    time.sleep(0.01)
            finally:
                stream.abort()

        self.connection.call(type_in, subject=subject)

    def _on(
        self,
        machine_id: str,
        verb: Callable[[libvirt.virDomain], R],
        *,
        subject: str = "",
        timeout: float = CALL_LIMIT,
    ) -> R:
        return self.connection.call(
            lambda raw: verb(raw.lookupByUUIDString(machine_id)), subject=subject, timeout=timeout
        )


def _read_all(raw: libvirt.virConnect, lab_id: str) -> tuple[dict[str, MachineFacts], frozenset[str]]:
    saved = {domain.UUIDString() for domain in raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)}
    machines: dict[str, MachineFacts] = {}
    others: set[str] = set()
    for domain in raw.listAllDomains(0):
        try:
            facts = _read(domain, lab_id, saved=domain.UUIDString() in saved)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                continue  # it went between the listing and the reading
            raise
        if facts is None:
            others.add(domain.name())
        else:
            machines[facts.name] = facts
    return dict(sorted(machines.items())), frozenset(others)


def _read(domain: libvirt.virDomain, lab_id: str, *, saved: bool) -> MachineFacts | None:
    spec = domain_xml.parse_domain_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if spec is None or spec.lab_id != lab_id:
        return None
    state, reason = _state(domain.state(), saved=saved)
    active = state in (MachineState.RUNNING, MachineState.PAUSED)
    live = domain_xml.parse_domain_xml(domain.XMLDesc(0)) if active else None
    return MachineFacts(spec=spec, live=live, state=state, reason=reason)


def _state(raw: list[int], *, saved: bool) -> tuple[MachineState, Reason]:
    number, why = raw[0], raw[1]
    reason = _REASONS.get((number, why), Reason.UNKNOWN)
    if number == libvirt.VIR_DOMAIN_SHUTDOWN:
        reason = Reason.SHUTTING_DOWN
    if number in _STATES:
        return _STATES[number], reason
    return (MachineState.SAVED, Reason.SAVED) if saved else (MachineState.OFF, reason)


def _usage(domain: libvirt.virDomain, values: Mapping[str, Any]) -> MachineUsage:
    blocks = range(int(values.get("block.count", 0)))
    state, _reason = _state([values.get("state.state", 0), values.get("state.reason", 0)], saved=False)
    return MachineUsage(
        machine_id=domain.UUIDString(),
        state=state,
        cpu_time=values.get("cpu.time", 0) / 1e9,
        memory=values.get("balloon.rss", 0) * KIB,
        disks=tuple(_disk_usage(values, index) for index in blocks),
    )


def _attach_device(xml: str, flag: int, domain: libvirt.virDomain) -> None:
    domain.attachDeviceFlags(xml, flag)


def _detach_device(xml: str, flag: int, domain: libvirt.virDomain) -> None:
    domain.detachDeviceFlags(xml, flag)


def _tune_disk(target: str, limits: Mapping[str, int], flag: int, domain: libvirt.virDomain) -> None:
    domain.setBlockIoTune(target, dict(limits), flag)


def _disk_usage(values: Mapping[str, Any], index: int) -> DiskUsage:
    return DiskUsage(
        target=values.get(f"block.{index}.name", ""),
        path=values.get(f"block.{index}.path", ""),
        reads=values.get(f"block.{index}.rd.reqs", 0),
        writes=values.get(f"block.{index}.wr.reqs", 0),
        read_bytes=values.get(f"block.{index}.rd.bytes", 0),
        written_bytes=values.get(f"block.{index}.wr.bytes", 0),
    )


def _mark_act(domain: libvirt.virDomain) -> None:
    element = f"<act at='{time.time_ns()}'/>"
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "labkit-act", ACT_NAMESPACE, flags)
