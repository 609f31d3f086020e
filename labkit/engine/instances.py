"""The hypervisor instances that a lab's machines can be on: the session's own, and those in the lab's folder.

    home/NAME/instances/INSTANCE    one folder each (hypervisor/instances.py)

The session's own has the name "". All see the same disks, so every reading of a lab reads all instances: an image that
nobody needs here may be needed there.
Knows: connections, the lab's folder. Must not know: plans.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.engine.workspace import Workspace
from labkit.errors import LabError
from labkit.hypervisor.connection import DEFAULT_URI, Connection, connect
from labkit.hypervisor.definitions import read_definitions
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.instances import Instance, find_instances
from labkit.hypervisor.snapshots import DomainSnapshots
from labkit.hypervisor.sockets import session_runtime_folder
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree

SESSION = ""
"""The name of the session's own instance."""

_TRY_AGAIN = 20.0  # seconds for which an instance that did not start is not tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The machines of a lab on its other instances: facts, trees and instance, by machine name.

    Attributes:
        unreachable: why an instance could not be asked, by its name; its stored definitions are used then.
    """

    machines: Mapping[str, MachineFacts] = field(default_factory=dict)
    snapshots: Mapping[str, SnapshotTree] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)


class Instances:
    """A lab's instances, seen from one of them; they are connected to when first needed.

    Args:
        own: the name of the instance they are seen from. domains: those of that instance.
        session_uri: the URI of the session's own instance.
    """

    def __init__(self, workspace: Workspace, own: str, domains: Domains, session_uri: str = DEFAULT_URI) -> None:
        self.workspace = workspace
        self.own = own
        self.session_uri = session_uri
        self._known = {own: domains}
        self._opened: list[Connection] = []
        self._lock = threading.Lock()
        self._unreachable: dict[str, tuple[float, str]] = {}

    def seen_from(self, name: str) -> Instances:
        """Return the same instances, seen from another of them."""
        others = Instances(self.workspace, name, self.domains(name), self.session_uri)
        others._known, others._opened, others._lock = self._known, self._opened, self._lock
        others._unreachable = self._unreachable
        return others

    def folder(self, name: str) -> Path:
        """Return the path of an instance's folder."""
        return self.workspace.home / "instances" / name

    def instance(self, name: str) -> Instance:
        """Return an instance in the lab's folder."""
        return Instance(folder=self.folder(name))

    def names(self) -> list[str]:
        """Return the names of the instances in the lab's folder."""
        return [instance.folder.name for instance in find_instances(self.folder(""))]

    @property
    def is_alone(self) -> bool:
        """Whether the lab has only this instance."""
        return self.own == SESSION and not self.names()

    def domains(self, name: str) -> Domains:
        """Return the domains of an instance, starting its daemon if need be.

        Raises:
            HostTrouble: it cannot be reached.
        """
        with self._lock:
            known = self._known.get(name)
            if known is None or (known.connection.closed and name != self.own):
                connection = self._connect(name)
                self._opened.append(connection)
                known = self._known[name] = Domains(connection)
            return known

    def uri_of(self, name: str) -> str:
        """Return the URI by which other instances' daemons reach this instance."""
        if name != SESSION:
            return self.instance(name).uri
        if self.session_uri != DEFAULT_URI:
            return self.session_uri
        folder = session_runtime_folder() / "libvirt"
        sockets = (folder / "virtqemud-sock", folder / "libvirt-sock")
        return f"qemu+unix:///session?socket={next((path for path in sockets if path.exists()), sockets[-1])}"

    def arrival(self, name: str, machine_id: str) -> Path:
        """Return the socket at which a migrating machine's memory arrives at an instance."""
        if name != SESSION:
            return self.instance(name).arrival(machine_id)
        return session_runtime_folder() / f"{machine_id[:8]}.in" / "s"

    def read_elsewhere(self) -> Elsewhere:
        """Return the machines of the lab on the other instances."""
        machines: dict[str, MachineFacts] = {}
        snapshots: dict[str, SnapshotTree] = {}
        places: dict[str, str] = {}
        unreachable: dict[str, str] = {}
        for name in self._others():
            found, trees, why = self._ask(name)
            if why:
                unreachable[name] = why
            machines |= found
            snapshots |= trees
            places |= dict.fromkeys(found, name)
        return Elsewhere(machines=machines, snapshots=snapshots, places=places, unreachable=unreachable)

    def end(self, name: str) -> None:
        """End an instance with every machine on it, and remove its folder. It may be called again."""
        with self._lock:
            known = self._known.pop(name, None)
        if known is not None:
            known.connection.close()  # later users get an error, so nobody starts it again
        self.instance(name).end()

    def release(self) -> None:
        """Release the connections that were opened."""
        with self._lock:
            while self._opened:
                self._opened.pop().release()

    def _ask(self, name: str) -> tuple[dict[str, MachineFacts], dict[str, SnapshotTree], str]:
        """The lab's machines on an instance, their trees, and why it could not be asked, or "".

        An instance that could not be asked is left alone for a while, since trying takes time and the lab is read
        often.
        """
        since, why = self._unreachable.pop(name, (0.0, ""))
        if not why or time.monotonic() - since > _TRY_AGAIN:
            try:
                domains = self.domains(name)
                found, _foreign = domains.read_all(self.workspace.id)
                trees = DomainSnapshots(domains.connection).read_trees(
                    {facts.id: each for each, facts in found.items()}
                )
            except LabError as error:
                since, why = time.monotonic(), error.message
            else:
                return found, trees, ""
        self._unreachable[name] = since, why
        return (*read_definitions(self._config(name), self.workspace.id), why)

    def _config(self, name: str) -> Path:
        """Return the folder in which an instance keeps its definitions."""
        if name != SESSION:
            return self.folder(name) / "config"
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")

    def _others(self) -> list[str]:
        """The other instances that may have machines."""
        others = [name for name in self.names() if name != self.own and self.instance(name).has_machines]
        return others if self.own == SESSION else [SESSION, *others]

    def _connect(self, name: str) -> Connection:
        if name == SESSION:
            return connect(self.session_uri)
        instance = self.instance(name)
        instance.start()
        return connect(instance.uri, start=instance.start)
