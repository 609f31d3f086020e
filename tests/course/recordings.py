"""Readings recorded from real runs: what the readers of each exercise saw at its start and after each way astray.

They are data, written by `python -m tests.course.record` and by nobody's hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labkit.course.reading import Evidence, Reading
from labkit.storage.bounded import read_json
from labkit.units import MIB

FOLDER = Path(__file__).parent / "recordings"
SOLVED = "solved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A start, and what was read later; the marks in them are of one student."""

    evidence: Evidence
    now: Reading


@dataclass(slots=True, kw_only=True)
class Recording:
    """All of an exercise, by the names of what was done."""

    student: str
    cases: dict[str, Recorded] = field(default_factory=dict)


def read_recording(slug: str) -> Recording:
    """Return the recording of an exercise."""
    return read_json(FOLDER / f"{slug}.json", Recording, most=4 * MIB, extra=False)


def write_recording(slug: str, recording: Recording) -> None:
    """Write it, one case a line."""
    cases = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(asdict(case), ensure_ascii=False, separators=(',', ':'))}"
        for name, case in recording.cases.items()
    )
    FOLDER.mkdir(exist_ok=True)
    text = f'{{"student": {json.dumps(recording.student)}, "cases": {{\n{cases}\n}}}}\n'
    (FOLDER / f"{slug}.json").write_text(text, encoding="utf-8")
