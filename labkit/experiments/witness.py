"""`witness`: what a restore is judged by, read from the world: files, hashes, the host's process, the guest's boot id.

Knows: the lab's folders, memory files, the agent. Must not know: what is concluded from it (`verify.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from labkit.errors import LabError
from labkit.experiments.given import check_machine
from labkit.model.disk import chain
from labkit.model.machine import MachineState
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.model.usage import GuestProcess
from labkit.storage import contents
from labkit.storage.maps import read_map
from labkit.storage.plain import opened_plain
from labkit.units import check_path

if TYPE_CHECKING:
    from labkit.machine import Machine

_ANSWER: Final = 20.0
"""Seconds that a guest may take to say its boot id."""

_SECTOR: Final = 512
"""Bytes of the unit in which the host counts what it gave a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What a restore is judged by.

    Attributes:
        state: the lab's. machine: the machine's name.
        hashes: of each frozen image of its snapshots, by path.
        files: the bytes that the host gave each file in the lab's folders of disks and of memory, by path.
        process: the machine's on the host; None when it is off or saved.
        boot_id: what the guest's kernel drew when it was first asked for it; None where no guest answers.
        booted_in: the names of the snapshots in whose memory that boot id stands.
    """

    state: LabState
    machine: str
    hashes: Mapping[str, str]
    files: Mapping[str, int]
    process: GuestProcess | None = None
    boot_id: str | None = None
    booted_in: frozenset[str] = frozenset()

    @property
    def allocated(self) -> int:
        """The bytes that the host gave all these files."""
        return sum(self.files.values())


def witness(machine: Machine) -> Witness:
    """Return what is there now: hashes, files, and what proves where a running guest comes from.

    A guest's kernel draws its boot id when it is asked for the first time. So a snapshot's memory holds it only if
    somebody has asked before: another witness, for instance.
    """
    check_machine(machine, "machine")
    state = machine.lab.state
    name = machine.name
    tree: Mapping[str, SnapshotFacts] = state.snapshots.get(name, {})
    paths = sorted({disk.path for node in tree.values() for disk in node.disks})
    boot_id = _ask_boot_id(machine) if state.machines[name].state is MachineState.RUNNING else None
    memories = {node.name: Path(node.memory) for node in tree.values() if node.memory is not None}
    return Witness(
        state=state,
        machine=name,
        hashes={path: hash_file(Path(path)) for path in paths},
        files=_list_files(machine.lab.home),
        process=machine.process,
        boot_id=boot_id,
        booted_in=frozenset(
            node for node, path in memories.items() if boot_id is not None and _holds(path, UUID(boot_id).bytes)
        ),
    )


def hash_states(machine: Machine) -> dict[str, str]:
    """Return, for each snapshot, a hash of what a guest would read from its disks; acts on other snapshots keep it.

    Raises:
        HostTrouble: an image cannot be read.
    """
    check_machine(machine, "machine")
    images = machine.lab.state.images
    return {
        node.name: " ".join(contents.hash_content(read_map(chain(images, disk.path))) for disk in node.disks)
        for node in machine.snapshots.tree.values()
    }


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        BadInput: it is not a path. HostTrouble: it cannot be read.
    """
    return contents.hash_file(check_path(path, what="path"))


def _ask_boot_id(machine: Machine) -> str | None:
    """Return a running guest's boot id, or None: not every guest answers, and not every answer is one."""
    with suppress(LabError, ValueError):
        return str(UUID(machine.run("cat /proc/sys/kernel/random/boot_id", timeout=_ANSWER).stdout.strip()))
    return None


def _list_files(home: Path) -> dict[str, int]:
    found = {}
    for folder in ("disks", "memory"):
        for path in sorted((home / folder).glob("*")):
            with suppress(FileNotFoundError):
                found[str(path)] = _SECTOR * path.lstat().st_blocks
    return found


def _holds(path: Path, words: bytes) -> bool:
    """Whether these bytes stand somewhere in a memory file; one that cannot be read holds nothing."""
    with (
        suppress(OSError, ValueError),  # an empty file cannot be mapped
        opened_plain(path) as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as memory,
    ):
        return memory.find(words) >= 0
    return False
