"""libvirt's own metadata of snapshots, kept in step with ours, and the calls that take and restore.

Knows: libvirt's snapshots. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import libvirt

from labkit.errors import WrongState
from labkit.hypervisor import snapshot_xml
from labkit.hypervisor.capabilities import format_version, parse_capabilities, read_cpu_models
from labkit.hypervisor.channels import agent_answers_soon
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.launching import once_log_is_free
from labkit.hypervisor.monitor import activate_images
from labkit.hypervisor.snapshot_definitions import definition_from_xml, restored_xml, revived_xml
from labkit.hypervisor.snapshot_reading import read_texts, tree_or_gone
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _
from labkit.model.machine import Accelerator, DiskSpec
from labkit.model.snapshot import SnapshotTree

LONG = 600.0
"""Seconds for calls that write or read a guest's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHost:
    """The versions with which a hypervisor would start a machine.

    Attributes:
        qemu: the version of QEMU. cpu_models: those that a machine may have.
    """

    qemu: str
    cpu_models: frozenset[str]


def deepest_chain(libvirt_version: int) -> int:
    """Return how many layers, base included, a disk may have at most for a libvirt to start its machine.

    Measured with 9.0.0 and 11.3.0. From 10.8 until before 12.0 libvirt reads QEMU's answers with a parser that gives up
    at a certain depth; other versions count the layers themselves.

    Args:
        libvirt_version: of the daemon, as libvirt numbers them.
    """
    return 25 if 10_008_000 <= libvirt_version < 12_000_000 else 200


class DomainSnapshots:
    """The snapshots of the domains of one hypervisor instance."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._hosts: dict[Accelerator, SnapshotHost] = {}
        self._deepest: int | None = None

    def read_trees(self, names: Mapping[str, str]) -> dict[str, SnapshotTree]:
        """Return the trees of the machines that have snapshots.

        Args:
            names: machine names by UUID; the answer is by name.
        """

        def look(raw: libvirt.virConnect) -> dict[str, SnapshotTree]:
            domains = raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
            found = {names[domain.UUIDString()]: domain for domain in domains if domain.UUIDString() in names}
            trees = ((name, tree_or_gone(domain)) for name, domain in sorted(found.items()))
            return {name: tree for name, tree in trees if tree is not None}

        return self.connection.read(look)

    def read_host(self, accelerator: Accelerator) -> SnapshotHost:
        """Return the versions with which this hypervisor would start a machine; it is asked only once."""
        if accelerator not in self._hosts:

            def look(raw: libvirt.virConnect) -> SnapshotHost:
                emulator = parse_capabilities(raw.getCapabilities()).emulator
                return SnapshotHost(
                    qemu=format_version(raw.getVersion()),
                    cpu_models=frozenset(read_cpu_models(raw, accelerator, emulator)),
                )

            self._hosts[accelerator] = self.connection.read(look, timeout=LONG)
        return self._hosts[accelerator]

    def deepest_chain(self) -> int:
        """Return how many layers, base included, a disk may have at most for its machine to start here."""
        if self._deepest is None:
            self._deepest = deepest_chain(self.connection.read(lambda raw: raw.getLibVersion()))
        return self._deepest

    def find_checkpoints(self, machine_id: str) -> tuple[str, ...]:
        """Return the names of a machine's checkpoints, which other tools make for backups."""
        points = self.connection.read(lambda raw: raw.lookupByUUIDString(machine_id).listAllCheckpoints())
        return tuple(point.getName() for point in points)

    def xml(self, machine_id: str, name: str) -> str:
        """Return the XML that libvirt keeps of a snapshot."""
        return str(self.connection.read(lambda raw: _snapshot(raw, machine_id, name).getXMLDesc(_SECURE)))

    def read_texts(self, machine_id: str) -> dict[str, str]:
        """Return the XML that libvirt keeps of each snapshot of a machine, by name."""
        return self.connection.read(lambda raw: read_texts(raw.lookupByUUIDString(machine_id), _SECURE))

    def take(
        self,
        machine_id: str,
        *,
        name: str,
        description: str,
        memory: str | None,
        overlays: Sequence[DiskSpec],
        said: str,
        live: bool,
        quiesce: bool,
    ) -> None:
        """Freeze every disk, go on in the overlays, keep the memory if a file is named; it may be called again.

        Args:
            said: the last line on a running guest's console, kept with its memory.

        Raises:
            WrongState: the guest ended at this instant, and libvirt has recorded a memory that does not exist.
        """
        xml = snapshot_xml.build_snapshot_xml(name, description, memory, overlays)
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        quiesced = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
        if memory is None:
            flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
            if live and quiesce:
                flags |= quiesced

        def create(raw: libvirt.virConnect) -> None:
            domain = raw.lookupByUUIDString(machine_id)
            if _has(domain, name):
                return
            if memory is not None:  # the snapshot keeps what the guest's definition says at this moment
                qemu = format_version(raw.getVersion())
                element, key = snapshot_xml.build_said_xml(said, qemu), "labkit-said"
                live_only = libvirt.VIR_DOMAIN_AFFECT_LIVE
                kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
                domain.setMetadata(kind, element, key, snapshot_xml.SAID_NAMESPACE, live_only)
            with agent_answers_soon(domain) if flags & quiesced else contextlib.nullcontext():
                domain.snapshotCreateXML(xml, flags)
            if (
                memory is not None
                and parse(_snapshot(raw, machine_id, name).getXMLDesc()).findtext("state") == "shutoff"
            ):
                raise WrongState(
                    _("{machine} went off before its memory could be kept.").format(machine=domain.name()),
                    _("Do it again: then its disks are kept as they are."),
                )

        self.connection.call(create, timeout=LONG)

    def drop_saved(self, machine_id: str) -> None:
        """Delete a machine's saved memory."""

        def drop(raw: libvirt.virConnect) -> None:
            domain = raw.lookupByUUIDString(machine_id)
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove(0)

        self.connection.call(drop)

    def mark_current(self, machine_id: str, name: str) -> None:
        """Let the current state of a machine begin from a snapshot."""
        self.connection.call(lambda raw: _make_current(raw.lookupByUUIDString(machine_id), name))

    def forget(self, machine_id: str, name: str, *, then_current: str | None = None) -> None:
        """Drop libvirt's record of a snapshot; its children become those of its parent; files stay.

        The children are moved first: otherwise libvirt would write the images of the forgotten snapshot into their
        records.

        Args:
            then_current: the snapshot to be current afterwards, since a daemon that dies meanwhile loses it. None:
                whichever is.
        """

        def drop(raw: libvirt.virConnect) -> None:
            domain = raw.lookupByUUIDString(machine_id)
            names = {snapshot.getName(): snapshot for snapshot in domain.listAllSnapshots()}
            if name in names:
                parent = snapshot_xml.parent_in_snapshot_xml(names[name].getXMLDesc(_SECURE))
                _reparent(domain, names[name].listAllChildren(0), parent)
                domain.snapshotLookupByName(name).delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
            if then_current is not None:
                _make_current(domain, then_current)

        self.connection.call(drop)

    def define_from(
        self, machine_id: str, name: str, disks: Sequence[DiskSpec], accelerator: Accelerator | None
    ) -> None:
        """Give a machine the configuration of a snapshot, on other images, with another accelerator if one is named."""
        now = self.connection.read(lambda raw: str(raw.lookupByUUIDString(machine_id).XMLDesc(_INACTIVE)))
        definition = definition_from_xml(self.xml(machine_id, name), now, disks, accelerator)
        placed = place_sockets(definition, self.connection.runtime)
        self.connection.call(lambda raw: raw.defineXML(placed))

    def restore_memory(self, machine_id: str, memory: str, disks: Sequence[DiskSpec], *, paused: bool) -> None:
        """Let a guest go on from a memory file, on other images; the file stays as it is."""
        state = libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING

        def restore(raw: libvirt.virConnect) -> None:
            persistent = raw.lookupByUUIDString(machine_id).XMLDesc(_INACTIVE)
            raw.restoreFlags(memory, restored_xml(raw, memory, disks, self.connection.runtime), state)
            raw.defineXML(persistent)  # restoring has replaced it with the one in the memory
            activate_images(raw.lookupByUUIDString(machine_id))

        self.connection.call(once_log_is_free(restore), timeout=LONG)

    def revive(self, machine_id: str, name: str, xml: str, *, parent: str | None) -> None:
        """Bring a forgotten snapshot back; it may be called again.

        Args:
            xml: what the lab's record kept of it. parent: the snapshot before it, or None.
        """
        text = revived_xml(xml, name, parent)

        def redo(raw: libvirt.virConnect) -> None:
            domain = raw.lookupByUUIDString(machine_id)
            if not _has(domain, name):
                domain.snapshotCreateXML(text, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)

        self.connection.call(redo)

    def relabel(self, machine_id: str, name: str, new: str, description: str | None, *, current: bool) -> None:
        """Give a snapshot another name or description, and let its children name it by the new one.

        Args:
            current: whether the current state begins from it.
        """

        def redo(raw: libvirt.virConnect) -> None:
            domain = raw.lookupByUUIDString(machine_id)
            if _has(domain, name):
                old = domain.snapshotLookupByName(name)
                xml = snapshot_xml.rename_in_snapshot_xml(
                    old.getXMLDesc(_SECURE), name=new if new != name else None, description=description
                )
                domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
                if new != name:
                    _reparent(domain, old.listAllChildren(0), new)
                    domain.snapshotLookupByName(name).delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
            if current:
                _make_current(domain, new)

        self.connection.call(redo)


_SECURE = libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def _reparent(domain: libvirt.virDomain, children: Iterable[libvirt.virDomainSnapshot], parent: str | None) -> None:
    for child in children:
        moved = snapshot_xml.reparent_in_snapshot_xml(child.getXMLDesc(_SECURE), parent)
        keep = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if child.isCurrent() else 0
        domain.snapshotCreateXML(moved, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | keep)


def _make_current(domain: libvirt.virDomain, name: str) -> None:
    """Make a snapshot the current one; it may be called again."""
    snapshot = domain.snapshotLookupByName(name)
    if not snapshot.isCurrent():
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
        domain.snapshotCreateXML(snapshot.getXMLDesc(_SECURE), flags)


def _has(domain: libvirt.virDomain, name: str) -> bool:
    try:
        domain.snapshotLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return False
        raise
    return True


def _snapshot(raw: libvirt.virConnect, machine_id: str, name: str) -> libvirt.virDomainSnapshot:
    return raw.lookupByUUIDString(machine_id).snapshotLookupByName(name)
