"""What steps are carried out with: the hypervisor, a limit, and who is told of progress and remarks.

Knows: the rooms below. Must not know: the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from labkit.engine.instances import Instances
from labkit.engine.workspace import Workspace
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshots import DomainSnapshots
from labkit.limits import Limit, OnBytes, unheard
from labkit.model.machine import MachineState
from labkit.model.state import LabState


class Copying(TypedDict):
    """The arguments of every call that copies data; see `Context`."""

    on_bytes: OnBytes
    limit: Limit
    inherit: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What steps are carried out with.

    Attributes:
        workspace: the lab's folder. read: returns the present state of the lab, as one consistent cut.
        entry: the act's file in the journal. has_lab_lock: whether the lab's lock is held already.
        whole_lab: whether the act is about the whole lab, so that other acts in the journal are ignored.
        domains, snapshots: the hypervisor's. instances: the lab's hypervisor instances, for migrations.
        on_bytes: called with bytes done and bytes in all. limit: time and cancelling.
        inherit: descriptors of locks that child processes go on holding if we die.
        tell: called with a sentence about what did not come out as planned in an act that was completed.
        spare: called with the path of a file that was to be deleted and stays.
    """

    workspace: Workspace
    read: Callable[[], LabState]

    domains: Domains
    snapshots: DomainSnapshots
    on_bytes: OnBytes
    limit: Limit
    inherit: tuple[int, ...] = ()
    tell: Callable[[str], None] = unheard
    spare: Callable[[str], None] = unheard
    instances: Instances
    entry: Path | None = None
    has_lab_lock: bool = False
    whole_lab: bool = False

    @property
    def copying(self) -> Copying:
        """The arguments of calls that copy data, by the names that those have for them."""
        return {"on_bytes": self.on_bytes, "limit": self.limit, "inherit": self.inherit}

    def has_guest(self, machine_id: str) -> bool:
        """Whether a machine's guest is on (running or paused), so that QEMU has its images open."""
        return self.domains.state(machine_id)[0] in (MachineState.RUNNING, MachineState.PAUSED)
