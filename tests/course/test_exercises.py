"""Exercises, proved on real machines: the start fails the check, the solution passes it, reset undoes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course import exercise, exercises
from labkit.course.catalogue import MODULES
from labkit.course.exercise import Exercise, Result, Verdict
from labkit.course.exercises.first_boot import FirstBoot
from labkit.course.progress import CourseProgress
from labkit.course.text import read_texts
from labkit.errors import BadInput, NotFound
from labkit.language import LANGUAGES, set_language


@pytest.fixture
def ex(lab: Lab, progress: CourseProgress) -> Exercise:
    """The warm-up, not started."""
    return FirstBoot(lab, progress=progress)


def test_the_catalogue_names_every_module() -> None:
    (folder,) = exercises.__path__
    files = {path.stem for path in Path(folder).glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == files


def solve(ex: Exercise) -> None:
    """Run the solution that is shown."""
    exec(ex.solution().code, {"lab": ex.lab, "ex": ex})  # noqa: S102  what is shown is what is proved


@contextmanager
def one_round(ex: Exercise) -> Iterator[None]:
    """What holds for every exercise that makes its own start: that fails, the block solves it, reset leaves nothing."""
    before = ex.lab.state
    assert ex.check().verdict is Verdict.NOT_STARTED
    try:
        assert ex.start().verdict is Verdict.WRONG, repr(ex.check())
        yield
        assert ex.is_done
    finally:
        left = ex.reset()
    assert left.verdict is Verdict.NOT_STARTED
    assert not ex.lab.disks
    assert not ex.lab.machines
    assert not ex.folder.exists()
    assert list((ex.lab.home / "disks").iterdir()) == []
    assert ex.lab.state == before


def solve_and_pass(ex: Exercise) -> None:
    """The solution that is shown passes the check."""
    solve(ex)
    assert ex.check().verdict is Verdict.DONE, repr(ex.check())


def prove(ex: Exercise) -> None:
    """Solve it from its start; reset leaves nothing. Its other round is one in which somebody goes astray."""
    with one_round(ex):
        assert ex.hint().text
        solve_and_pass(ex)


def find_wrong(ex: Exercise) -> tuple[str, str]:
    """What a check finds wrong, and its hint."""
    result = ex.check()
    assert result.verdict is Verdict.WRONG, repr(result)
    assert result.hint
    return result.why, result.hint


class Rummaged(FirstBoot):
    """An exercise whose student has removed or emptied what its check reads, on the host or inside."""

    def __init__(self, lab: Lab, progress: CourseProgress, read: Callable[[], object]) -> None:
        super().__init__(lab, progress=progress)
        self._read = read

    def look(self) -> Result:
        self._read()
        raise AssertionError("it was all there")


@pytest.mark.parametrize(
    "read",
    [
        lambda: Path("/no/such/notes").read_text(),
        lambda: Path("/").read_bytes(),
        lambda: Path("\0").read_text(),
        lambda: ["only", "one"].pop(2),
        lambda: {"there": 1}["gone"],
        lambda: int(""),
        b"\xff".decode,
        lambda: next(iter([])),
    ],
)
def test_whatever_a_check_does_not_find_is_told_in_words(
    lab: Lab, progress: CourseProgress, read: Callable[[], object]
) -> None:
    result = Rummaged(lab, progress, read).check()
    assert result.verdict is Verdict.BROKEN
    assert result.why
    assert "ex.start()" in result.hint
    assert not lab.machines


def test_solution_passes_twice_and_reset_returns_to_the_start(ex: Exercise) -> None:
    for _round in range(2):
        before = (ex.check().verdict, ex.is_done)
        solve(ex)
        solved = (ex.check().verdict, ex.is_done)
        after = (ex.reset().verdict, ex.is_done)
        assert before == after == (Verdict.NOT_STARTED, False)
        assert solved == (Verdict.DONE, True)
        assert ex.machine not in ex.lab.machines


def test_what_is_wrong_decides_the_hint(ex: Exercise) -> None:
    assert "lab.create('primer-arranque')" in ex.hint().text
    vm = ex.lab.create(ex.machine)
    assert (ex.check().verdict, ex.check().why) == (Verdict.WRONG, "primer-arranque is off.")
    vm.start().wait_ready()
    assert "no file /root/mark" in ex.check().why
    vm.run("echo wrong > /root/mark")
    assert "'wrong'" in ex.check().why
    assert ex.mark in ex.hint().text
    assert not ex.is_done


def test_machine_that_cannot_be_used_is_a_broken_precondition(ex: Exercise) -> None:
    ex.lab.create(ex.machine, image="sector")
    result = ex.check()
    assert result.verdict is Verdict.BROKEN
    assert "ex.reset()" in repr(result)
    assert ex.reset().verdict is Verdict.NOT_STARTED


def test_check_changes_nothing(ex: Exercise) -> None:
    before = ex.lab.state
    ex.check()
    ex.hint()
    ex.solution()
    assert ex.lab.state == before


def test_twins_do_not_hold_the_students_mark(ex: Exercise) -> None:
    assert ex.mark in ex.task()
    assert ex.mark not in repr(ex)
    assert ex.mark not in ex._repr_html_()


def test_marks_differ_between_students(lab: Lab, tmp_path: Path) -> None:
    marks = {FirstBoot(lab, progress=CourseProgress(tmp_path / name)).mark for name in ("a", "b")}
    assert len(marks) == 2


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_exercise_has_its_texts(code: str) -> None:
    set_language(code)
    try:
        for slug in read_texts("exercises"):
            shown = exercise(slug)
            assert shown.title in repr(shown)
            assert "{" not in shown.task()
    finally:
        set_language(None)


def test_unknown_exercise_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(NotFound) as refusal:
        exercise("segundo-arranque")
    assert "primer-arranque" in refusal.value.hint


def test_something_else_than_a_lab_is_refused() -> None:
    with pytest.raises(BadInput):
        exercise("primer-arranque", "default")  # type: ignore[arg-type]
