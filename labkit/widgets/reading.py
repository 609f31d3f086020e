"""`LabReading`: a lab as its panels last read it, with what its machines used.

Only values. Knows: the lab's state. Must not know: how and when it is read, how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.errors import LabError
from labkit.model.state import LabState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a machine used during one tick.

    Attributes:
        cpus: busy CPUs of the host, 1.0 for one. memory: bytes. written: bytes a second, to all its disks.
    """

    cpus: float
    memory: int
    written: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReading:
    """A lab as last read.

    Attributes:
        state: None until the first reading has succeeded.
        samples: by machine id, oldest first, at most 60; only of machines that are on.
        growth: bytes allocated to each disk, by name, oldest first, at most 60; only while a panel follows disks.
        trouble: why the last reading failed, or None; `state` is then an older one.
        closed: whether the lab was closed.
    """

    state: LabState | None = None
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    growth: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trouble: LabError | None = None
    closed: bool = False
