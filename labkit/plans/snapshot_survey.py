"""What had to be measured for a plan about snapshots, as one value.

Knows: the model. Must not know: how it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.model.machine import Accelerator


class MemoryFault(StrEnum):
    """What is wrong with a file that holds a guest's memory."""

    CUT = "cut"
    """It is shorter than it was."""
    DAMAGED = "damaged"
    """It does not begin as a memory file does."""
    CHANGED = "changed"
    """It does not hold what it held when it was written."""
    FOREIGN = "foreign"
    """It belongs to images other than those of its snapshot."""
    STRANGE = "strange"
    """The definition in it names files, programs or devices that are not the lab's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSurvey:
    """What had to be measured for a plan about snapshots.

    Attributes:
        free_bytes: free on the file system of the lab's folder.
        quiesce: whether the guest's agent answers, so that it can flush its file systems.
        memory_bytes: sizes of the memory files, by path. bad_memories: what is wrong with those that cannot be used.
        deepest: the most layers of a disk with which this libvirt starts a machine.
        lost: missing files that snapshots boot from.
        changed: frozen images of the whole lab that another tool has written to.
        checkpoints: names of the checkpoints that another tool has made of the machine.
        accelerator: who runs instructions on this host, or None if it does not matter.
        cpu_models: those this host offers, or None if they do not matter. qemu: its version, or "" likewise.
    """

    free_bytes: int
    quiesce: bool = False
    memory_bytes: Mapping[str, int] | None = None
    deepest: int = 200
    lost: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    bad_memories: Mapping[str, MemoryFault] = field(default_factory=dict)
    checkpoints: tuple[str, ...] = ()
    accelerator: Accelerator | None = None
    cpu_models: frozenset[str] | None = None
    qemu: str = ""
