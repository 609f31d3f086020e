"""What a check reads, as values: machines, disks, snapshots at one instant. A judgement is a function of two of them.

The same is read at the start of an exercise, where it becomes evidence, and at each check. All of it can be written
as JSON: evidence is kept in a file, and tests judge readings that were recorded from real runs. No value holds an
absolute path: files are told by their names, contents by their hashes.

Knows: the words of the course. Must not know: how anything is read, any one exercise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.model.image import Allocation, Format
from labkit.model.machine import MachineState, Reason
from labkit.model.snapshot import SnapshotKind

BOOT = "boot"
"""The question that every guest is asked: which boot is this?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReading:
    """A machine.

    Attributes:
        id: its UUID. state, reason: as the hypervisor says.
        process: which process on the host it is; another one after every start, "" for none.
        cpu_model, live_cpu_model: as defined; as the running guest was started, "" for none.
        disks: the names of its disks, by what the guest calls them.
        twin: whether its definition lets it keep its disk's identity.
        original: what its lowest own images stand on ("web@clean"), "" if it stands alone.
        agent: whether it can take commands at all.
        panicked: whether the last on its console is a kernel's panic.
        said: what the guest answered, by question; None: it does not answer.
    """

    id: str
    state: MachineState
    reason: Reason = Reason.UNKNOWN
    process: str = ""
    cpu_model: str = ""
    live_cpu_model: str = ""
    disks: Mapping[str, str] = field(default_factory=dict)
    twin: bool = False
    original: str = ""
    agent: bool = True
    panicked: bool = False
    said: Mapping[str, str] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is running."""
        return self.state is MachineState.RUNNING

    @property
    def boot(self) -> str:
        """The id its kernel drew when it booted; "" where it does not answer."""
        return self.tells(BOOT)

    def tells(self, question: str) -> str:
        """Return the answer to a question; "" where there is none."""
        return (self.said or {}).get(question, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskReading:
    """A disk.

    Attributes:
        format, allocation, capacity: as its images say; bytes.
        machine, target: to which machine it is attached, and as what; "" for none.
        images: the file names of its layers, top → base.
        content: the hash of what a guest reads from it. words: what stands at some places, by byte.
        files: the hashes of the files in its file system by path; None: there is no file system that can be read.
        file_system: the id of that. file_system_bytes: how large it says it is.
    """

    format: Format
    allocation: Allocation
    capacity: int
    machine: str = ""
    target: str = ""
    images: tuple[str, ...] = ()
    content: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    file_system: str = ""
    file_system_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReading:
    """A state that a machine can be in: a snapshot, or what is there now.

    Attributes:
        parent: the snapshot before it, "" for none. kind: what it keeps; None: it is the current state.
        images: the file names of its disks' images, by target; each with those below, top → base.
        contents: the hash of what a guest reads from each disk, by target.
        written: bytes of each disk's top image that hold something, by target.
        words: what stands at some places of the data disk, by place. excuse: why it cannot be used, "" for none.
    """

    parent: str
    kind: SnapshotKind | None = None
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    excuse: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything a check has read.

    Attributes:
        machines: those of the exercise that are there, by name.
        others: the ids of the lab's other machines, by name: one may have been renamed.
        disks: those of the exercise that are there, by name.
        snapshots: of its first machine, by name. current: which of them the current state comes from, "" for none.
        now: that machine's current state.
        elsewhere: the machines of the exercise's other lab, by name.
        files: the hashes of files of the host, by name.
        excuse: why a machine would not start, "" for none.
        settings: numbers that were set, by name.
        measured: numbers that differ from one look to the next; they are no part of what was found unchanged.
    """

    machines: Mapping[str, MachineReading] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, DiskReading] = field(default_factory=dict)
    snapshots: Mapping[str, StateReading] = field(default_factory=dict)
    current: str = ""
    now: StateReading | None = None
    elsewhere: Mapping[str, MachineReading] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    excuse: str = ""
    settings: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of an exercise since its start.

    Attributes:
        at: when it was started, as ISO 8601 in UTC. reading: what was there then.
        notes: what only the start could know, by name.
    """

    at: str = ""
    reading: Reading = field(default_factory=Reading)
    notes: Mapping[str, str] = field(default_factory=dict)
