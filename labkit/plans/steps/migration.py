"""Steps that move a machine to another hypervisor instance.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.model.travel import SnapshotRecord
from labkit.plans.steps.base import Phase, line


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRecords:
    """Let the hypervisor forget the snapshots of a machine that moves; it would refuse to let it go.

    Attributes:
        records: what it kept of them, parents first: whatever happens, they are given back from here.
    """

    machine_id: str
    domain: str
    records: tuple[SnapshotRecord, ...]
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = []
        for record in self.records:
            dump = line("virsh", "snapshot-dumpxml", self.domain, record.name)
            lines.append(f"{dump} > {line(f'{record.name}.xml')}")
        lines += [
            line("virsh", "snapshot-delete", self.domain, record.name, "--metadata") for record in self.records[::-1]
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateMachine:
    """Let a machine go over to another instance; its guest runs on there, and exactly there.

    Attributes:
        to: the other instance's name in the lab, "" for the session's own. to_uri: how it is reached.
        arrival: the socket at which the guest's memory arrives there, absolute.
        live: whether the guest is on; else only its definition moves. runs: whether it is not paused.
    """

    machine_id: str
    domain: str
    to: str
    to_uri: str
    arrival: str
    live: bool
    runs: bool
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        if not self.live:
            dump = line("virsh", "dumpxml", "--inactive", self.domain)
            define = line("virsh", "-c", self.to_uri, "define", f"{self.domain}.xml")
            return f"{dump} > {line(f'{self.domain}.xml')}\n{define}\n{line('virsh', 'undefine', self.domain)}"
        how = ["--live", "--p2p", "--unsafe", "--persistent", "--undefinesource"]
        where = [self.to_uri, "--migrateuri", f"unix://{self.arrival}"]
        return line("virsh", "migrate", *how, self.domain, *where)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveRecords:
    """Tell the instance a machine has come to what its snapshots are.

    Attributes:
        to: its name in the lab. to_uri: how it is reached; "": it is the one the plan is carried out on.
    """

    machine_id: str
    domain: str
    to: str
    to_uri: str
    records: tuple[SnapshotRecord, ...]
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        lines = []
        for record in self.records:
            current = ["--current"] if record.current else []
            there = ["-c", self.to_uri] if self.to_uri else []
            create = ["virsh", *there, "snapshot-create", self.domain, f"{record.name}.xml"]
            lines.append(line(*create, "--redefine", *current))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndInstance:
    """End a hypervisor instance of the lab, with every machine on it; its folder goes.

    Attributes:
        instance: its name in the lab. folder: absolute.
    """

    instance: str
    folder: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("pkill", "-f", f"{self.folder}/") + f"; {line('rm', '-r', self.folder)}"
