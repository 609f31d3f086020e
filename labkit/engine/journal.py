"""The journal: each act is written down before it begins, and struck out when it has ended.

One file per act, one JSON line each for the plan and for every step done. A file whose lock is free belongs to an act
that was interrupted. The lab's lock file grows by a byte whenever an act begins, has done a step, or ends: who has seen
the same length before and after reading the lab has read it at one instant.

Each line begins with a code (entry_lines.py). An act is ours where its plan has the right one and is about this folder;
whatever else stands in a journal is shown and never carried out: a folder may come from anybody.

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
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.engine.entry_lines import MOST_FOREIGN, build_line, count_signed, is_right, move_plan, read_lines, text_of
from labkit.errors import BadInput, HostTrouble
from labkit.language import _
from labkit.plans.plan import Plan
from labkit.plans.steps import Step
from labkit.storage.bounded import make_strict_converter, parse_json, structure_with
from labkit.storage.files import host_errors, sync_folder, sync_soon
from labkit.units import MIB, format_size

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

MOST_ENTRY = 64 * MIB
"""Bytes of an act in the journal."""

MOST_LINE = 60 * MIB
"""Bytes of its plan; the texts of a thousand snapshots take less."""


_COUNTING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How the lab's lock file is opened to count: a link in its place is not followed, a pipe not waited for."""

_MOST_WORDS = 400  # letters of an error's details


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An act found in the journal.

    Attributes:
        path: its file. plan: what was to be done. done: how many steps were reported done.
        ours: whether this computer's labkit wrote it, for this folder. Else its paths are taken relative to the lab,
            and nothing of it is carried out.
    """

    path: Path
    plan: Plan
    done: int
    ours: bool = True


class Record:
    """An act being written down."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._commit = plan.commit_point
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._lines = 1
        with host_errors(self.path):
            # The plan is whole before it has its name: a power cut leaves no half-written act.
            draft = self.path.with_suffix(".part")
            try:
                self._write(draft, build_line(self.path, 0, dump_plan(plan)), lasting=True)
                draft.rename(self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            sync_folder(folder)
        count(folder)

    def step_done(self, index: int) -> None:
        """Write down that a step has been carried out."""
        with host_errors(self.path):
            line = build_line(self.path, self._lines, json.dumps({"done": index}))
            self._write(self.path, line, lasting=index + 1 == self._commit)
        self._lines += 1
        count(self.path.parent)

    def close(self) -> None:
        """Strike the act out."""
        strike_out(self.path)

    @staticmethod
    def _write(path: Path, line: str, *, lasting: bool) -> None:
        with path.open("a") as file:
            file.write(line)
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
    """Return the files of the acts in a journal, the one that was written to last as the last.

    When an act began nothing tells for certain. Nothing depends on it either: acts that have not ended need different
    locks, since none begins before those that stand in its way have ended; so each is ended by itself.
    """
    found = []
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.lstat().st_mtime_ns, path))
    return [path for _age, path in sorted(found)]


def read_entry(path: Path) -> Entry | None:
    """Return an act of the journal, or None: it has ended this instant.

    Raises:
        HostTrouble: the file holds no act that this labkit understands.
    """
    try:
        first, *rest = read_lines(path)
        text = text_of(first)
        if is_right(path, 0, first):
            plan = load_plan(text)
            if Path(plan.home).resolve() == path.parent.parent.resolve():
                return Entry(path=path, plan=plan, done=count_signed(path, rest))
        if len(text) > MOST_FOREIGN:
            raise ValueError("too long")
        return Entry(path=path, plan=load_plan(move_plan(text, path.parent.parent)), done=len(rest), ours=False)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise HostTrouble(
            _("{file} in the lab's journal cannot be read.").format(file=path.name),
            _("The next Lab.open() sets it aside, and says so."),
            details=str(error)[:_MOST_WORDS],
        ) from error


def write_again(entry: Entry) -> None:
    """Make an act of a journal ours, as it stands in the value: from now on it is ended as one that was interrupted.

    Raises:
        HostTrouble: it cannot be written; it stands as it did.
    """
    lines = [dump_plan(entry.plan), *(json.dumps({"done": index}) for index in range(entry.done))]
    draft = entry.path.with_suffix(".part")
    with host_errors(entry.path):
        with draft.open("w") as file:
            file.writelines(build_line(entry.path, number, text) for number, text in enumerate(lines))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(entry.path)
        sync_folder(entry.path.parent)
    count(entry.path.parent)


def set_aside(path: Path) -> None:
    """Take a file that cannot be read out of the journal; it is kept beside it."""
    with host_errors(path), contextlib.suppress(FileNotFoundError):
        path.rename(path.with_suffix(".unreadable"))


def find_drafts(folder: Path) -> list[Path]:
    """Return the drafts of acts that are just being written down, or never began."""
    return [path for path in folder.glob("*.part") if not path.is_dir()]


def drop_drafts(folder: Path) -> None:
    """Remove the drafts of acts that never began; the lab's lock must be held."""
    for draft in find_drafts(folder):
        with host_errors(draft):
            draft.unlink(missing_ok=True)


def count(folder: Path) -> None:
    """Tell who is just reading the lab that something has changed in it.

    Written after what it tells of: a reading that began before and ended after has seen another number. Bytes are
    appended, so two who count at once count twice; on a full disk the file grows by a hole instead.
    """
    place = _counter(folder)
    try:
        with open(os.open(place, _COUNTING, 0o600), "ab") as file:
            file.write(b".")
    except OSError:
        with contextlib.suppress(OSError):
            if not place.is_symlink():
                os.truncate(place, place.stat().st_size + random.randint(1, 1000))  # noqa: S311 — not as another


def read_count(folder: Path) -> int:
    """Return how often something was told; 0 where nothing ever was."""
    place = _counter(folder)
    with host_errors(place):
        try:
            return place.lstat().st_size
        except FileNotFoundError:
            return 0


def _counter(folder: Path) -> Path:
    """The file of the lab's lock: its length is the number."""
    return folder.parent / "lock"


def read_entries(folder: Path, *, but: Path | None = None) -> list[Entry]:
    """Return the acts in a journal that can be read, in the order of `find_entries`.

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
        if not entry.ours:
            continue  # it must not hide what is there
        if commit is None or entry.done < commit:
            unfinished.update(entry.plan.files.made)
    return frozenset(unfinished)


def find_named(entries: Iterable[Entry]) -> frozenset[str]:
    """Return all files that acts name: those they read, make, change and delete."""
    return frozenset(path for entry in entries for path in entry.plan.named)


def dump_plan(plan: Plan) -> str:
    """Return a plan as one line of JSON; inverse of `load_plan`.

    Raises:
        BadInput: it is so long that it could not be read again, and so not be ended after a crash.
    """
    line = str(_converter().dumps(plan))
    if len(line) > MOST_LINE:
        raise BadInput(
            _("The plan of {act} takes more than {most}, which no journal holds.").format(
                act=plan.title, most=format_size(MOST_LINE)
            ),
            _("Do it in smaller parts: with fewer snapshots, or fewer machines at once."),
        )
    return line


def load_plan(line: bytes | str) -> Plan:
    """Return the plan from one line of JSON.

    Raises:
        Damaged: it is none, or none that this labkit understands.
    """
    plan: Plan = structure_with(_converter(), parse_json(line, most=MOST_ENTRY), Plan)
    return plan


@functools.cache
def _converter() -> JsonConverter:
    """Made when the first act is written or read, since looking at a lab needs none."""
    from cattrs.strategies import configure_tagged_union

    converter = make_strict_converter(halves=True)  # an archive's path may be in any bytes
    configure_tagged_union(Step, converter)
    return converter
