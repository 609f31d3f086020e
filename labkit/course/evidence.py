"""What is kept of exercises on the host: the evidence of each start, and how many hints were taken.

It lies beside the student's progress, not in the lab: no task lets a student write there. Who forges it is not
stopped; it only tells what labkit itself has seen.

Knows: the files. Must not know: what they prove.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.course.reading import Evidence
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.files import host_errors, make_private_folder, sync_folder
from labkit.units import MIB

FORMAT = 1

HINT_STEPS = 3
"""Steps of a hint: where to look, which call, the line."""

_MOST = 4 * MIB

_read: dict[Path, tuple[tuple[int, int, int], Kept]] = {}
"""What was read last of each file, with the inode, time and size it had: each writing makes another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one exercise in one lab.

    Attributes:
        evidence: of its last start; None: it was not started.
        hints: how many were taken, over all starts. about, step: what the last one was about, and its step.
        seed: what another one is drawn from, for practice; "": it is the student's own.
        done: when a check first found it done after that start, ISO 8601; "": not yet.
    """

    format: int = FORMAT
    evidence: Evidence | None = None
    hints: int = 0
    about: str = ""
    step: int = 0
    seed: str = ""
    done: str = ""


class EvidenceFile:
    """The file of one exercise in one lab.

    Args:
        folder: the student's folder. lab_id: which lab. slug: which exercise.
    """

    def __init__(self, folder: Path, lab_id: str, slug: str) -> None:
        self.path = folder / "exercises" / lab_id / f"{slug}.json"

    def read(self) -> Kept:
        """Return what is kept; a file that says something else than it should is none."""
        with host_errors(self.path):
            try:
                stat = self.path.stat()
                age = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                before = _read.get(self.path)
                if before is None or before[0] != age:  # panels ask each second
                    before = _read[self.path] = (age, read_json(self.path, Kept, most=_MOST))
                kept = before[1]
            except (FileNotFoundError, Damaged):
                return Kept()
        return kept if kept.format == FORMAT else Kept()

    def keep(self, evidence: Evidence | None, *, seed: str | None = None) -> None:
        """Keep the evidence of a start, or (None) forget it; hints stay, and the seed if none is given."""
        kept = self.read()
        seed = kept.seed if seed is None else seed
        self._write(replace(kept, evidence=evidence, about="", step=0, seed=seed, done=""))

    def finish(self, at: str) -> None:
        """Keep when it was found done; the first time after a start counts."""
        kept = self.read()
        if kept.evidence is not None and not kept.done:
            self._write(replace(kept, done=at))

    def take_hint(self, about: str) -> int:
        """Count a hint and return its step: the first about something new is 1, and the last is asked for again."""
        kept = self.read()
        step = min(kept.step + 1, HINT_STEPS) if kept.about == about else 1
        if (kept.about, kept.step) != (about, step):
            self._write(replace(kept, hints=kept.hints + 1, about=about, step=step))
        return step

    def _write(self, kept: Kept) -> None:
        folder = self.path.parent
        with host_errors(self.path):
            for each in (folder.parent.parent, folder.parent, folder):
                make_private_folder(each)
            draft = self.path.with_suffix(".part")
            draft.write_text(json.dumps(asdict(kept), ensure_ascii=False, indent=1), encoding="utf-8")
            draft.replace(self.path)
            sync_folder(folder)
