"""What a student has answered and solved: one small file in the data folder.

All kernels, languages and notebooks share it. Writers take turns, and a reader sees the file before or after a change,
never half of one. Of what others have written into it, only well-formed entries are used; if the file was not fully
understood, it is kept under another name when it is next written.

Knows: the file. Must not know: questions, exercises.
"""

from __future__ import annotations

import codecs
import fcntl
import itertools
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from labkit.engine.folders import data_folder
from labkit.language import _
from labkit.printing import tell
from labkit.storage.bounded import Damaged, parse_json, structure
from labkit.storage.files import host_errors, make_private_folder, sync_folder
from labkit.storage.plain import read_plain
from labkit.storage.whole_files import put_new
from labkit.units import MIB

T = TypeVar("T")

FORMAT = 1

_MOST = MIB
"""The most bytes of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    choice: str
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    at: str = ""


@dataclass(slots=True, kw_only=True)
class _Content:
    """The content of the file. `understood`: whether every entry was well-formed."""

    student: str = ""
    predictions: dict[str, _Answer] = field(default_factory=dict)
    exercises: dict[str, _Done] = field(default_factory=dict)
    understood: bool = True


class CourseProgress:
    """The progress file.

    Args:
        folder: where it is; None: `course/` in labkit's data folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or data_folder() / "course"

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / "progress.json"

    @property
    def student(self) -> str:
        """The student's random id, made once; the marks that exercises use derive from it."""

        def draw(content: _Content) -> str:
            content.student = content.student or str(uuid.uuid4())
            return content.student

        return self._read().student or self._change(draw)

    def answer(self, slug: str) -> str | None:
        """Return the option chosen for a prediction, or None."""
        answer = self._read().predictions.get(slug)
        return answer.choice if answer else None

    def record_answer(self, slug: str, choice: str) -> None:
        """Store an answer; it replaces an earlier one."""
        self._change(lambda content: content.predictions.update({slug: _Answer(choice=choice, at=_now())}))

    def is_done(self, slug: str) -> bool:
        """Whether an exercise has once been found done."""
        return slug in self._read().exercises

    def record_done(self, slug: str) -> None:
        """Store that an exercise is done; the first time counts."""
        self._change(lambda content: content.exercises.setdefault(slug, _Done(at=_now())))

    def forget(self, *slugs: str) -> None:
        """Forget the answers to these predictions, and that these exercises were done."""

        def drop(content: _Content) -> None:
            for slug in slugs:
                content.predictions.pop(slug, None)
                content.exercises.pop(slug, None)

        self._change(drop)

    def _read(self) -> _Content:
        """Return the well-formed entries of the file.

        Raises:
            HostTrouble: it exists but cannot be read.
        """
        with host_errors(self.path):
            try:
                data = read_plain(self.path, _MOST + 1, follow=True)
            except FileNotFoundError:
                return _Content()
        return _understand(data.removeprefix(codecs.BOM_UTF8))

    def _change(self, change: Callable[[_Content], T]) -> T:
        with host_errors(self.path):
            make_private_folder(self._folder)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                content = self._read()
                if not content.understood:
                    self._keep_aside()
                result = change(content)
                draft = self.path.with_suffix(".part")
                with draft.open("w", encoding="utf-8") as file:
                    json.dump(_as_json(content), file, ensure_ascii=False, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self.path)
                sync_folder(self._folder)
        return result

    def _keep_aside(self) -> None:
        """Give the file a second, unused name, and say so."""
        for number in itertools.count(1):
            aside = self.path.with_suffix(f".{number}.unreadable")
            try:
                put_new(self.path, aside)  # if that moves it away, it is written anew right after
            except FileExistsError:
                continue
            tell(  # the student should see this, wherever it happens
                _(
                    "Not all of {name} could be understood: it was kept as {aside}, and what was understood goes on."
                ).format(name=self.path.name, aside=aside)
            )
            return


def _understand(data: bytes) -> _Content:
    """Take the well-formed entries from the file's text."""
    content = _Content()
    try:
        table = _table(parse_json(data, most=_MOST))
        if table.get("format") != FORMAT:
            raise Damaged
    except Damaged:
        return _Content(understood=False)
    try:
        content.student = structure(table.get("student", ""), str)
    except Damaged:
        content.understood = False
    content.predictions = _take(content, table.get("predictions", {}), _Answer)
    content.exercises = _take(content, table.get("exercises", {}), _Done)
    return content


def _take(content: _Content, value: object, kind: type[T]) -> dict[str, T]:
    taken = {}
    try:
        for slug, entry in _table(value).items():
            try:
                taken[slug] = structure(entry, kind)
            except Damaged:
                content.understood = False
    except Damaged:
        content.understood = False
    return taken


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Damaged
    return value


def _as_json(content: _Content) -> dict[str, object]:
    table = asdict(content)
    del table["understood"]
    return {"format": FORMAT, **table}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
