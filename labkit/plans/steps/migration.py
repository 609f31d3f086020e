"""Steps that move a machine to another hypervisor instance.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.state import LabState
from labkit.model.travel import SnapshotRecord
from labkit.plans.steps.afterwards import find_machine, without_machine
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Outside,
    Phase,
    Touched,
    definition_paper,
    line,
    lines,
    own_step,
    snapshot_paper,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DropRecords(BaseStep):
    """Let the hypervisor forget the snapshots of a machine that moves; it would refuse the migration otherwise.

    Attributes:
        records: what it kept of them, parents first; whatever happens, they are given back from here.
    """

    machine_id: str
    domain: str
    records: tuple[SnapshotRecord, ...]
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        each = []
        for record in self.records:
            dump = line("virsh", "snapshot-dumpxml", self.domain, record.name, "--security-info")
            each.append(f"{dump} > {line(snapshot_paper(self.domain, record.name))}")
        each += [
            line("virsh", "snapshot-delete", self.domain, record.name, "--metadata") for record in self.records[::-1]
        ]
        return lines(*each)

    @property
    def word(self) -> str:
        return _("taking the snapshots along")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return state  # until they are given back, readers find them in the plan


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateMachine(BaseStep):
    """Migrate a machine to another instance; its guest goes on there, and only there.

    Attributes:
        to: the other instance's name in the lab, "" for the session's own. to_uri: its libvirt URI.
        arrival: the socket at which the guest's memory arrives there, absolute.
        live: whether the guest is on; else only its definition moves. runs: whether it is running, not paused.
    """

    machine_id: str
    domain: str
    to: str
    to_uri: str
    arrival: str
    live: bool
    runs: bool
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        if not self.live:
            define = line("virsh", "-c", self.to_uri, "define", *self.papers)
            records = ["--snapshots-metadata", "--checkpoints-metadata"]
            return lines(define, line("virsh", "undefine", self.domain, *records))
        running, definition = self.papers
        how = ["--live", "--p2p", "--unsafe", "--persistent", "--undefinesource", "--abort-on-error"]
        where = [self.to_uri, "--migrateuri", f"unix://{self.arrival}"]
        folder = posixpath.dirname(self.arrival)
        return lines(
            line("mkdir", "-m", "700", folder),
            line("virsh", "migrate", *how, self.domain, *where, "--xml", running, "--persistent-xml", definition),
            line("rm", "-rf", folder),
        )

    @property
    def papers(self) -> tuple[str, ...]:
        running = (f"{self.domain}.running.xml",) if self.live else ()
        return (*running, definition_paper(self.domain))

    @property
    def word(self) -> str:
        return _("moving the machine")

    @property
    def touches(self) -> Touched:
        return Touched(elsewhere=((Outside.ARRIVAL, self.arrival),))

    def after(self, state: LabState) -> LabState:
        facts = find_machine(state, self.machine_id)
        if facts is None:
            return state
        trees = {name: tree for name, tree in state.snapshots.items() if name == facts.name}
        return replace(
            without_machine(state, self.machine_id),
            elsewhere={**state.elsewhere, facts.name: facts},
            elsewhere_snapshots={**state.elsewhere_snapshots, **trees},
            places={**state.places, facts.name: self.to},
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GiveRecords(BaseStep):
    """Give the instance that a machine has come to the records of its snapshots.

    Attributes:
        to: its name in the lab. to_uri: its libvirt URI; "" if it is the one that the plan is carried out on.
    """

    machine_id: str
    domain: str
    to: str
    to_uri: str
    records: tuple[SnapshotRecord, ...]
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        each = []
        for record in self.records:
            current = ["--current"] if record.current else []
            there = ["-c", self.to_uri] if self.to_uri else []
            create = ["virsh", *there, "snapshot-create", self.domain, snapshot_paper(self.domain, record.name)]
            each.append(line(*create, "--redefine", *current))
        return lines(*each)

    @property
    def word(self) -> str:
        return _("taking the snapshots along")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        return state


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EndInstance(BaseStep):
    """End a hypervisor instance of the lab, with every machine on it, and delete its folder.

    Attributes:
        instance: its name in the lab. folder: absolute.
    """

    instance: str
    folder: str
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        why = _("ends the hypervisor of {folder} with every machine on it: no line of virsh ends a daemon.")
        return lines(own_step(why.format(folder=self.folder)), line("rm", "-r", self.folder))

    @property
    def word(self) -> str:
        return _("ending the other hypervisor")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=(self.folder,))

    def after(self, state: LabState) -> LabState:
        left = {name for name, place in state.places.items() if place != self.instance}
        return replace(
            state,
            elsewhere={name: facts for name, facts in state.elsewhere.items() if name in left},
            elsewhere_snapshots={name: tree for name, tree in state.elsewhere_snapshots.items() if name in left},
            places={name: place for name, place in state.places.items() if name in left},
            instances={name: folder for name, folder in state.instances.items() if name != self.instance},
        )
