"""What a student has answered and solved: one small file in the data folder.

It survives kernels, languages and notebooks. Writers take turns, and a reader sees the file before or
after a change, never half of one.

Knows: the file. Must not know: questions, exercises.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from labkit.engine.workspace import data_folder
from labkit.storage.files import host_errors, make_private_folder, sync_folder

T = TypeVar("T")

FORMAT = 1


class Progress:
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
        """The student's id, drawn once: marks that exercises ask for derive from it."""
        student = self._read().get("student")
        if not student:
            student = self._change(lambda data: data.setdefault("student", str(uuid.uuid4())))
        return str(student)

    def answer(self, slug: str) -> str | None:
        """Return the option chosen for a prediction, or None."""
        answer = self._read().get("predictions", {}).get(slug, {}).get("choice")
        return None if answer is None else str(answer)

    def record_answer(self, slug: str, choice: str) -> None:
        """Keep an answer; it replaces an earlier one."""
        self._change(lambda data: _table(data, "predictions").update({slug: {"choice": choice, "at": _now()}}))

    def is_done(self, slug: str) -> bool:
        """Whether an exercise was once found done."""
        return slug in self._read().get("exercises", {})

    def record_done(self, slug: str) -> None:
        """Keep that an exercise is done; the first time counts."""
        self._change(lambda data: _table(data, "exercises").setdefault(slug, {"at": _now()}))

    def forget(self, *slugs: str) -> None:
        """Forget the answers to these predictions, and that these exercises were done."""

        def drop(data: dict[str, Any]) -> None:
            for table in ("predictions", "exercises"):
                for slug in slugs:
                    _table(data, table).pop(slug, None)

        self._change(drop)

    def _read(self) -> dict[str, Any]:
        """Return the file's contents; a file that cannot be understood counts as none."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return data if isinstance(data, dict) and data.get("format") == FORMAT else {}

    def _change(self, change: Callable[[dict[str, Any]], T]) -> T:
        with host_errors(self.path):
            make_private_folder(self._folder)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                data = self._read()
                if not data and self.path.exists():
                    self.path.replace(self.path.with_suffix(".unreadable"))
                result = change(data)
                draft = self.path.with_suffix(".part")
                with draft.open("w", encoding="utf-8") as file:
                    json.dump({**data, "format": FORMAT}, file, ensure_ascii=False, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self.path)
                sync_folder(self._folder)
        return result


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    table: dict[str, Any] = data.setdefault(name, {})
    return table


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
