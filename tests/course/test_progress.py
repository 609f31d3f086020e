"""The progress file: written whole, by one at a time, never lost silently."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.course.progress import CourseProgress
from labkit.engine.folders import data_folder
from labkit.errors import HostTrouble

WRITE = """
import sys
from pathlib import Path
from labkit.course.progress import CourseProgress
for number in range(25):
    CourseProgress(Path(sys.argv[1])).record_answer(f"{sys.argv[2]}-{number}", "x")
"""


def test_it_lies_in_the_data_folder() -> None:
    assert CourseProgress().path == data_folder() / "course" / "progress.json"


def test_reading_makes_no_file(progress: CourseProgress) -> None:
    assert progress.answer("boot-time") is None
    assert not progress.is_done("primer-arranque")
    assert not progress.path.exists()


def test_student_keeps_the_id_that_was_drawn(progress: CourseProgress) -> None:
    assert progress.student == CourseProgress(progress.path.parent).student


def test_reset_forgets_only_what_is_named(progress: CourseProgress) -> None:
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


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 99}', "", "5", "[" * 100_000, '{"format": NaN}', "x" * (2 << 20)]
)
def test_file_that_cannot_be_understood_is_kept_aside_and_that_is_said(
    progress: CourseProgress, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    progress.path.parent.mkdir()
    progress.path.write_text(content)
    assert progress.answer("boot-time") is None
    assert capsys.readouterr().out == "", "reading changes nothing"
    progress.record_answer("boot-time", "blink")
    assert progress.answer("boot-time") == "blink"
    aside = progress.path.with_suffix(".1.unreadable")
    assert aside.read_text() == content
    assert str(aside) in capsys.readouterr().out


def test_a_second_one_does_not_take_the_place_of_the_first(progress: CourseProgress) -> None:
    progress.path.parent.mkdir()
    for content in ("{one", "{two", "{three"):
        progress.path.write_text(content)
        progress.record_done("primer-arranque")
    aside = sorted(progress.path.parent.glob("*.unreadable"))
    assert [path.read_text() for path in aside] == ["{one", "{two", "{three"]


def test_an_editor_may_have_put_a_byte_order_mark_before_it(progress: CourseProgress) -> None:
    progress.record_answer("boot-time", "blink")
    progress.path.write_bytes(codecs.BOM_UTF8 + progress.path.read_bytes())
    assert progress.answer("boot-time") == "blink"
    progress.record_done("primer-arranque")
    assert progress.answer("boot-time") == "blink"
    assert not list(progress.path.parent.glob("*.unreadable"))


ODD: list[object] = [
    None,
    True,
    5,
    -1.5,
    "text",
    [],
    [[]],
    {},
    {"choice": 5},
    {"choice": None, "at": "now"},
    {"at": {}},
    {"choice": "\ud800"},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("place", ["student", "predictions", "exercises", "an answer", "a solution"])
def test_what_is_wrong_inside_costs_nothing_but_itself(progress: CourseProgress, place: str, odd: object) -> None:
    answers: dict[str, object] = {"boot-time": {"choice": "blink", "at": "then"}}
    solved: dict[str, object] = {"primer-arranque": {"at": "then"}}
    table: dict[str, object] = {"format": 1, "student": "me", "predictions": answers, "exercises": solved}
    {"an answer": answers, "a solution": solved}.get(place, table)[place] = odd
    progress.path.parent.mkdir()
    progress.path.write_text(json.dumps(table))
    assert place == "predictions" or progress.answer("boot-time") == "blink"
    assert place == "exercises" or progress.is_done("primer-arranque")
    progress.record_done("other")
    progress.forget("no-such")
    assert progress.student
    assert place == "student" or progress.student == "me"
    assert place == "predictions" or progress.answer("boot-time") == "blink"
    assert place == "exercises" or progress.is_done("primer-arranque")
    aside = progress.path.with_suffix(".1.unreadable")
    assert not aside.exists() or json.loads(aside.read_text()) == table


def test_a_folder_in_its_place_is_told_in_a_sentence(progress: CourseProgress) -> None:
    progress.path.mkdir(parents=True)
    with pytest.raises(HostTrouble, match=r"progress\.json"):
        progress.answer("boot-time")
    with pytest.raises(HostTrouble, match=r"progress\.json"):
        progress.record_done("primer-arranque")
