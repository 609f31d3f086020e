"""The progress file: written whole, by one at a time, never lost silently."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.course.progress import Progress
from labkit.engine.workspace import data_folder

WRITE = """
import sys
from pathlib import Path
from labkit.course.progress import Progress
for number in range(25):
    Progress(Path(sys.argv[1])).record_answer(f"{sys.argv[2]}-{number}", "x")
"""


def test_it_lies_in_the_data_folder() -> None:
    assert Progress().path == data_folder() / "course" / "progress.json"


def test_reading_makes_no_file(progress: Progress) -> None:
    assert progress.answer("boot-time") is None
    assert not progress.is_done("primer-arranque")
    assert not progress.path.exists()


def test_student_keeps_the_id_that_was_drawn(progress: Progress) -> None:
    assert progress.student == Progress(progress.path.parent).student


def test_reset_forgets_only_what_is_named(progress: Progress) -> None:
    student = progress.student
    progress.record_answer("boot-time", "blink")
    progress.record_answer("who-runs", "kvm")
    progress.record_done("primer-arranque")
    progress.forget("boot-time", "primer-arranque")
    assert progress.answer("boot-time") is None
    assert progress.answer("who-runs") == "kvm"
    assert not progress.is_done("primer-arranque")
    assert progress.student == student


def test_two_kernels_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, folder, name]) for name in ("a", "b")]
    assert [writer.wait(150) for writer in writers] == [0, 0]
    assert len(json.loads((folder / "progress.json").read_text())["predictions"]) == 50


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', ""])
def test_file_that_cannot_be_understood_is_kept_aside(progress: Progress, content: str) -> None:
    progress.path.parent.mkdir()
    progress.path.write_text(content)
    assert progress.answer("boot-time") is None
    progress.record_answer("boot-time", "blink")
    assert progress.answer("boot-time") == "blink"
    assert progress.path.with_suffix(".unreadable").read_text() == content
