"""How far an act is, as a value.

Knows: numbers. Must not know: who shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report.

    Attributes:
        step, steps: the running step, counted from 1, of how many. label: its command.
        done, total: bytes; total is 0 where it is not known.
    """

    step: int
    steps: int
    label: str
    done: int = 0
    total: int = 0


OnProgress = Callable[[Progress], None]
