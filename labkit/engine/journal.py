"""The journal: each act is written down before it begins, and struck out when it has ended.

One file per act, one JSON line each for the plan and for every step done. A file whose lock is free
belongs to an act that was interrupted.

Knows: the form of the file. Must not know: how steps are carried out.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from labkit.plans.plan import Plan
from labkit.plans.steps import Step
from labkit.storage.files import host_errors, sync_folder

_converter = make_converter()
configure_tagged_union(Step, _converter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An act found in the journal.

    Attributes:
        path: its file. plan: what was to be done. done: how many steps were reported done.
    """

    path: Path
    plan: Plan
    done: int


class Record:
    """An act being written down."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        with host_errors(self.path):
            # The plan is whole before it has its name: a power cut leaves no half-written act.
            draft = self.path.with_suffix(".part")
            try:
                self._write(draft, dump_plan(plan))
                draft.rename(self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            sync_folder(folder)

    def step_done(self, index: int) -> None:
        """Write down that a step has been carried out."""
        with host_errors(self.path):
            self._write(self.path, json.dumps({"done": index}))

    def close(self) -> None:
        """Strike the act out."""
        strike_out(self.path)

    @staticmethod
    def _write(path: Path, line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def strike_out(path: Path) -> None:
    """Remove an act from the journal."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_entries(folder: Path) -> Iterator[Entry]:
    """Yield the acts in a journal, oldest first; drafts of acts that never began are removed."""
    for draft in folder.glob("*.part"):
        draft.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
            with contextlib.suppress(FileNotFoundError):
                first, *rest = path.read_text().splitlines()
                yield Entry(path=path, plan=load_plan(first), done=len(rest))


def find_unfinished(folder: Path) -> frozenset[str]:
    """Return the files that acts in the journal are making: they are there only when the act has ended."""
    unfinished: set[str] = set()
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            lines = path.read_text().splitlines()
            plan = load_plan(lines[0])
            commit = plan.commit_point
            if commit is None or len(lines) - 1 < commit:
                unfinished.update(plan.files.created)
    return frozenset(unfinished)


def dump_plan(plan: Plan) -> str:
    """Return a plan as one line of JSON; inverse of `load_plan`."""
    return str(_converter.dumps(plan))


def load_plan(line: str) -> Plan:
    """Return the plan from one line of JSON."""
    return _converter.loads(line, Plan)
