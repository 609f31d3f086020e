"""A lab of one machine, kept as it stands, to be laid out again at once: files, definitions, snapshots, the guest.

It goes past labkit: the hypervisor is told directly and files are copied. So a test can begin a hundred times
from the same state without a plan, without booting.
Knows: libvirt, files. Must not know: how labkit takes and restores.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import libvirt

from labkit import Lab

_SECURE = libvirt.VIR_DOMAIN_XML_SECURE
_GONE = (
    libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_FOLDERS = ("disks", "memory", "journal")
_FILES = ("seals.json", "record.json")


class Checkpoint:
    """The lab's machine as it is now.

    Args:
        lab: its lab; the machine, which must not be saved, goes on after this. folder: an empty folder for the copies.
    """

    def __init__(self, lab: Lab, folder: Path, machine: str = "web") -> None:
        self.lab, self.folder = lab, folder
        self.machine_id = lab.machines[machine].id
        self.stood = str(lab.machines[machine].state)
        domain = self._domain()
        self.definition = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | _SECURE)
        self.snapshots = _in_order(domain)
        self.memory: str | None = None
        if domain.isActive():
            self.memory = str(folder / "guest.save")
            domain.save(self.memory)
        for name in _FOLDERS:
            shutil.copytree(lab.home / name, folder / name)
        self.kept = {name: path.read_bytes() for name in _FILES if (path := lab.home / name).exists()}
        if self.memory:
            self._resume(self.stood)

    def install(self, stands: str | None = None) -> None:
        """Let everything be as it was.

        Args:
            stands: of a machine that ran: "running", "paused", "saved" or "off", whatever it was; None: as it was.
        """
        raw = self._raw()
        domain = next((each for each in raw.listAllDomains() if each.UUIDString() == self.machine_id), None)
        if domain is not None:
            with contextlib.suppress(libvirt.libvirtError):  # it is off, or ends in this instant
                domain.destroy()
            domain.undefineFlags(_GONE)
        for name in _FOLDERS:
            shutil.rmtree(self.lab.home / name)
            shutil.copytree(self.folder / name, self.lab.home / name)
        for left in (*self.lab.home.glob("seals.*"), *self.lab.home.glob("record.json*")):
            left.unlink()
        for name, content in self.kept.items():
            (self.lab.home / name).write_bytes(content)
        domain = raw.defineXML(self.definition)
        for xml, current in self.snapshots:
            flag = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if current else 0
            domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flag)
        if self.memory and (stands or self.stood) != "off":
            self._resume(stands or self.stood)

    def _resume(self, stands: str) -> None:
        """Let the guest go on from the copy of its memory."""
        raw = self._raw()
        state = libvirt.VIR_DOMAIN_SAVE_RUNNING if stands == "running" else libvirt.VIR_DOMAIN_SAVE_PAUSED
        raw.restoreFlags(self.memory, None, state)
        raw.defineXML(self.definition)  # the memory's own definition has replaced it
        if stands == "saved":
            self._domain().managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def _raw(self) -> libvirt.virConnect:
        return self.lab.session.connection.raw()

    def _domain(self) -> libvirt.virDomain:
        return self._raw().lookupByUUIDString(self.machine_id)


def _in_order(domain: libvirt.virDomain) -> list[tuple[str, bool]]:
    """The snapshots' XML, parents first, and whether each is the current one."""
    left = list(domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS))
    found = []
    while left:
        snapshot = left.pop()
        xml = snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)
        found.append((xml, bool(snapshot.isCurrent())))
        left += snapshot.listAllChildren()
    return found
