"""The journal: each act is written down before it begins, and struck out when it has ended.

One file per act, one JSON line each for the plan and for every step done. A file whose lock is free
belongs to an act that was interrupted. Beside them a counter grows by a byte whenever an act begins, has done a step,
or ends: who has seen the same number before and after reading the lab has read it at one instant.

What is written outlives the kernel at once. It outlives a power cut where that matters: the plan before the
first step, and before the commit point that all is ready for it. Behind the commit point the state itself
tells what was done, and no guest is left that a step done again could harm.

Knows: the form of the file. Must not know: how steps are carried out.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.plans.plan import Plan
from labkit.plans.steps import Step
from labkit.storage.files import host_errors, sync_folder, sync_soon

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter


_COUNTER = "counter"


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
        self._commit = plan.commit_point
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        with host_errors(self.path):
            # The plan is whole before it has its name: a power cut leaves no half-written act.
            draft = self.path.with_suffix(".part")
            try:
                self._write(draft, dump_plan(plan), lasting=True)
                draft.rename(self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            sync_folder(folder)
        count(folder)

    def step_done(self, index: int) -> None:
        """Write down that a step has been carried out."""
        with host_errors(self.path):
            self._write(self.path, json.dumps({"done": index}), lasting=index + 1 == self._commit)
        count(self.path.parent)

    def close(self) -> None:
        """Strike the act out."""
        strike_out(self.path)

    @staticmethod
    def _write(path: Path, line: str, *, lasting: bool) -> None:
        with path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            if lasting:
                os.fsync(file.fileno())


def strike_out(path: Path) -> None:
    """Remove an act from the journal.

    That is not waited for: the next act makes the folder durable before its first step, and an act that a power cut
    brings back is ended once more, which changes nothing.
    """
    with host_errors(path):
        path.unlink(missing_ok=True)
    count(path.parent)
    sync_soon(path.parent)


def strike_out_all(folder: Path) -> None:
    """Remove every act from a journal: nothing is left that they were about."""
    for path in find_entries(folder):
        strike_out(path)


def find_entries(folder: Path) -> list[Path]:
    """Return the files of the acts in a journal, oldest first."""
    found = []
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _age, path in sorted(found)]


def read_entry(path: Path) -> Entry | None:
    """Return an act of the journal, or None: it has ended this instant.

    Raises:
        HostTrouble: the file holds no act that this labkit understands.
    """
    try:
        first, *rest = path.read_text().splitlines()
        return Entry(path=path, plan=load_plan(first), done=len(rest))
    except FileNotFoundError:
        return None
    except Exception as error:
        raise HostTrouble(
            _("{file} in the lab's journal cannot be read.").format(file=path.name), details=str(error)
        ) from error


def set_aside(path: Path) -> None:
    """Take a file that cannot be read out of the journal; it is kept beside it."""
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_suffix(".unreadable"))


def find_drafts(folder: Path) -> list[Path]:
    """Return the drafts of acts that are just being written down, or never began."""
    return list(folder.glob("*.part"))


def drop_drafts(folder: Path) -> None:
    """Remove the drafts of acts that never began; the lab's lock must be held."""
    for draft in find_drafts(folder):
        draft.unlink(missing_ok=True)


def count(folder: Path) -> None:
    """Tell who is just reading the lab that something has changed in it.

    Written after what it tells of: a reading that began before and ended after has seen another number.
    """
    with host_errors(folder), (folder / _COUNTER).open("ab") as file:
        file.write(b".")


def read_count(folder: Path) -> int:
    """Return how often something was told; 0 where nothing ever was."""
    try:
        return (folder / _COUNTER).stat().st_size
    except FileNotFoundError:
        return 0


def read_entries(folder: Path, *, but: Path | None = None) -> list[Entry]:
    """Return the acts in a journal that can be read, oldest first.

    Args:
        but: the file of an act to leave out.
    """
    entries = []
    for path in find_entries(folder):
        with contextlib.suppress(HostTrouble):
            if path != but and (entry := read_entry(path)):
                entries.append(entry)
    return entries


def find_unfinished(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the files that acts are making: they are there only when the act has ended."""
    unfinished: set[str] = set()
    for entry in entries:
        commit = entry.plan.commit_point
        if commit is None or entry.done < commit:
            unfinished.update(entry.plan.files.created)
    return frozenset(unfinished)


def find_named(entries: Iterable[Entry]) -> frozenset[str]:
    """Return all files that acts name: those they read, make, change and delete."""
    return frozenset(path for entry in entries for path in entry.plan.named)


def dump_plan(plan: Plan) -> str:
    """Return a plan as one line of JSON; inverse of `load_plan`."""
    return str(_converter().dumps(plan))


def load_plan(line: str) -> Plan:
    """Return the plan from one line of JSON."""
    return _converter().loads(line, Plan)


@functools.cache
def _converter() -> JsonConverter:
    """Made when the first act is written or read, since looking at a lab needs none."""
    from cattrs.preconf.json import make_converter
    from cattrs.strategies import configure_tagged_union

    converter = make_converter()
    configure_tagged_union(Step, converter)
    return converter
