"""What steps are carried out with: the hypervisor, a limit, and who hears of it.

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
    """What every call that copies data takes; see `Context`."""

    on_bytes: OnBytes
    limit: Limit
    inherit: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What steps are carried out with.

    Attributes:
        workspace: the lab's folder. read: returns the lab as it is, as one cut.
        entry: the act's file in the journal. has_lab_lock: whether the lab's lock is held already.
        whole_lab: whether the act is about the whole lab, so that no other one counts.
        domains, snapshots: the hypervisor's. instances: the lab's others, for what goes over.
        on_bytes: hears of (bytes done, in all). limit: time and cancellation.
        inherit: descriptors of locks that child processes keep holding if we die.
        tell: hears a sentence about what did not come out as planned, though the act has been completed.
        spare: hears of a file that was to be deleted and stays.
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
        """What every call that copies data takes, as such calls name it."""
        return {"on_bytes": self.on_bytes, "limit": self.limit, "inherit": self.inherit}

    def has_guest(self, machine_id: str) -> bool:
        """Whether a machine has a guest now, running or paused: its images are QEMU's then."""
        return self.domains.state(machine_id)[0] in (MachineState.RUNNING, MachineState.PAUSED)
