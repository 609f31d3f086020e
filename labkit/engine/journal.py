"""The journal: each act is written into it before it begins, and removed when it has ended.

One file per act, one JSON line each for the plan and for every step done. A file whose locks are free belongs to an act
that was interrupted. The lab's lock file grows by a byte whenever an act begins, has done a step, or ends: a reading of
the lab is consistent if that length is the same before and after it.

Each line begins with a code (entry_lines.py). An act is ours if its plan has the right code and is about this folder.
Anything else in a journal is shown and never carried out, since a folder may come from anybody.

What is written survives the death of the kernel at once. It survives a power cut where that matters: the plan, before
the first step; and before the commit point, that all steps before it are done. After the commit point the state itself
shows what was done, and after a power cut no guest runs that a repeated step could harm.

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
"""The most bytes of an act in the journal."""

MOST_LINE = 60 * MIB
"""The most bytes of its plan; the XML of a thousand snapshots takes less."""


_COUNTING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""The flags to open the lab's lock file for counting: a link in its place is not followed, a pipe is not waited for."""

_MOST_WORDS = 400  # letters of an error's details


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An act found in the journal.

    Attributes:
        path: its file. plan: what was to be done. done: how many steps were reported done.
        ours: whether this computer's labkit wrote it for this folder. If not, its paths are relative to the lab here,
            and nothing of it is carried out.
    """

    path: Path
    plan: Plan
    done: int
    ours: bool = True


class Record:
    """The file of an act under way, to which steps are added."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._commit = plan.commit_point
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._lines = 1
        with host_errors(self.path):
            # The file gets its name when the plan is complete in it: a power cut leaves no half-written act.
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
        """Record that a step has been carried out."""
        with host_errors(self.path):
            line = build_line(self.path, self._lines, json.dumps({"done": index}))
            self._write(self.path, line, lasting=index + 1 == self._commit)
        self._lines += 1
        count(self.path.parent)

    def close(self) -> None:
        """Remove the act from the journal."""
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

    This is durable a moment later, at the latest before the next act's first step. If a power cut brings the act
    back, it is ended once more, which changes nothing.
    """
    with host_errors(path):
        path.unlink(missing_ok=True)
    count(path.parent)
    sync_soon(path.parent)


def strike_out_all(folder: Path) -> None:
    """Remove every act from a journal, when nothing is left that they were about."""
    for path in find_entries(folder):
        strike_out(path)


def find_entries(folder: Path) -> list[Path]:
    """Return the files of the acts in a journal, by the time of their last change.

    When an act began is not known for certain. Nothing depends on it: acts that have not ended need different locks,
    since none begins before those in its way have ended. So each is ended by itself.
    """
    found = []
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.lstat().st_mtime_ns, path))
    return [path for _age, path in sorted(found)]


def read_entry(path: Path) -> Entry | None:
    """Return an act in the journal, or None if it has just ended.

    Raises:
        HostTrouble: the file does not hold an act that this labkit understands.
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
    """Make an act in the journal ours, exactly as given: from now on it is ended like any interrupted act.

    Raises:
        HostTrouble: it cannot be written; the journal is as before.
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
    """Take a file that cannot be read out of the journal, by giving it another name."""
    with host_errors(path), contextlib.suppress(FileNotFoundError):
        path.rename(path.with_suffix(".unreadable"))


def find_drafts(folder: Path) -> list[Path]:
    """Return the drafts of acts that are just being written, or never began."""
    return [path for path in folder.glob("*.part") if not path.is_dir()]


def drop_drafts(folder: Path) -> None:
    """Remove the drafts of acts that never began; the lab's lock must be held."""
    for draft in find_drafts(folder):
        with host_errors(draft):
            draft.unlink(missing_ok=True)


def count(folder: Path) -> None:
    """Let everybody who is just reading the lab know that something has changed.

    It is called after the change, so a reading that began before and ends after it sees another number. Bytes are
    appended, so two processes that count at once count twice; on a full disk the file grows by a hole instead.
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
    """Return how often `count` was called; 0 if never."""
    place = _counter(folder)
    with host_errors(place):
        try:
            return place.lstat().st_size
        except FileNotFoundError:
            return 0


def _counter(folder: Path) -> Path:
    """The lab's lock file, whose length is the number."""
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
    """Return the files that acts are making; they count as existing only once the act has ended."""
    unfinished: set[str] = set()
    for entry in entries:
        commit = entry.plan.commit_point
        if not entry.ours:
            continue  # a foreign act must not hide existing files
        if commit is None or entry.done < commit:
            unfinished.update(entry.plan.files.made)
    return frozenset(unfinished)


def find_named(entries: Iterable[Entry]) -> frozenset[str]:
    """Return all files that acts name: those they read, make, change and delete."""
    return frozenset(path for entry in entries for path in entry.plan.named)


def dump_plan(plan: Plan) -> str:
    """Return a plan as one line of JSON; inverse of `load_plan`.

    Raises:
        BadInput: it is too long to be read again, so it could not be ended after a crash.
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
        Damaged: it is not a plan, or none that this labkit understands.
    """
    plan: Plan = structure_with(_converter(), parse_json(line, most=MOST_ENTRY), Plan)
    return plan


@functools.cache
def _converter() -> JsonConverter:
    """The converter; made when first needed, since reading a lab without acts does not need it."""
    from cattrs.strategies import configure_tagged_union

    converter = make_strict_converter(halves=True)  # an archive's path may be any bytes
    configure_tagged_union(Step, converter)
    return converter
