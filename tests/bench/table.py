"""Measured times as a table: median, spread, the goal and whether it is met.

Knows: numbers. Must not know: what was measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what was measured, the runs (in `unit`), and what was to be reached.

    Attributes:
        limit: the most the median may be, or None: it is shown to compare. against: the row it is a ratio to.
    """

    what: str
    runs: tuple[float, ...]
    unit: str = "s"
    limit: float | None = None
    against: tuple[float, ...] | None = None

    @property
    def median(self) -> float:
        """The middle of the runs."""
        return statistics.median(self.runs)

    @property
    def ratio(self) -> float | None:
        """Its median by the other's."""
        return None if self.against is None else self.median / statistics.median(self.against)

    @property
    def verdict(self) -> str:
        """Whether the goal is met; empty where there is none."""
        if self.limit is None:
            return ""
        reached = self.median if self.ratio is None else self.ratio
        return "met" if reached <= self.limit else "missed"

    @property
    def goal(self) -> str:
        """The goal in words."""
        if self.limit is None:
            return ""
        return f"≤ {self.limit:g} {self.unit}" if self.ratio is None else f"≤ {self.limit:g} ×"


def interleave(rounds: int, subjects: Mapping[str, Callable[[], float]]) -> dict[str, tuple[float, ...]]:
    """Measure several things in turn, so that a busy minute hits them all; returns the runs of each."""
    runs: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure in subjects.items():
            runs[name].append(measure())
    return {name: tuple(times) for name, times in runs.items()}


def format_rows(rows: Sequence[Row]) -> str:
    """Return the rows as a table of text."""
    lines = [("", "runs", "median", "min – max", "ratio", "goal", "verdict")]
    for row in rows:
        spread = f"{_number(min(row.runs))} – {_number(max(row.runs))}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        median = f"{_number(row.median)} {row.unit}"
        lines.append((row.what, str(len(row.runs)), median, spread, ratio, row.goal, row.verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"
