"""Exercises, proved on real machines: the start fails the check, the solution passes it, reset undoes it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course import exercise
from labkit.course.catalogue import ALIASES, EXERCISES, MODULES, PACKAGE
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.disks import TrulyFixed
from labkit.course.exercises.first_boot import FirstBoot
from labkit.course.progress import CourseProgress
from labkit.course.reading import Reading
from labkit.course.text import read_texts
from labkit.errors import BadInput, NotFound
from labkit.language import LANGUAGES, set_language


@pytest.fixture
def ex(lab: Lab, progress: CourseProgress) -> Exercise:
    """The warm-up, not started."""
    return FirstBoot(lab, progress=progress)


def test_the_catalogue_names_every_module() -> None:
    (folder,) = PACKAGE.__path__
    files = {path.stem for path in Path(folder).glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == files


class Rummaged(FirstBoot):
    """An exercise whose student has removed or emptied what its check reads, on the host or inside."""

    def __init__(self, lab: Lab, progress: CourseProgress, read: Callable[[], object]) -> None:
        super().__init__(lab, progress=progress)
        self._read = read

    def read(self) -> Reading:
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
        lambda: None.no_such,  # type: ignore[attr-defined]
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


def test_what_is_wrong_decides_the_hint(ex: Exercise) -> None:
    assert "lab.create('first-boot')" in ex.hint().text
    vm = ex.lab.create(ex.machine)
    assert (ex.check().verdict, ex.check().why) == (Verdict.WRONG, "first-boot is off.")
    vm.start(warm=True).wait_ready()
    assert "no file /root/mark" in ex.check().why
    vm.run("echo wrong > /root/mark")
    assert "'wrong'" in ex.check().why
    assert not ex.is_done


def test_hints_come_in_three_steps_and_their_number_is_kept(ex: Exercise) -> None:
    ex.lab.create(ex.machine)
    told = [ex.hint() for _step in range(4)]
    assert [advice.text[:12] for advice in told] == ["Hint 1 of 3.", "Hint 2 of 3.", "Hint 3 of 3.", "Hint 3 of 3."]
    assert ex.where_to_look in told[0].text
    assert "Start it" in told[1].text
    assert [bool(advice.code) for advice in told] == [False, False, True, True]
    assert ex.hints_taken == 3
    ex.lab.machines[ex.machine].delete()
    ex.lab.create(ex.machine, image="sector", memory="16 MiB")
    ex.reset()
    assert ex.hints_taken == 3


def test_a_new_problem_begins_with_its_first_hint(ex: Exercise) -> None:
    machine = ex.lab.create(ex.machine)
    assert ex.hint().text.startswith("Hint 1")
    assert ex.hint().text.startswith("Hint 2")
    machine.start(warm=True).wait_ready().pause()
    assert ex.hint().text.startswith("Hint 1")
    assert ex.hints_taken == 3


def test_what_is_made_beside_an_exercise_is_no_work_on_it(lab: Lab, progress: CourseProgress) -> None:
    ex = TrulyFixed(lab, progress=progress)
    assert ex.start().verdict is Verdict.BEGUN
    other = lab.create("beside")
    lab.disks.create("free", capacity="1 MiB")
    assert ex.check().verdict is Verdict.BEGUN
    other.rename("beside-it")
    assert ex.check().verdict is Verdict.BEGUN
    other.delete()
    assert ex.check().verdict is Verdict.BEGUN


def test_evidence_lies_beside_the_progress_and_not_in_the_lab(lab: Lab, progress: CourseProgress) -> None:
    ex = TrulyFixed(lab, progress=progress)
    assert ex.start().verdict is Verdict.BEGUN
    (file,) = (progress.path.parent / "exercises").rglob("truly-fixed.json")
    assert not [path for path in lab.home.rglob("*") if path.is_file() and b"file_system_bytes" in path.read_bytes()]
    file.write_text("{")
    assert ex.check().verdict is Verdict.NOT_STARTED
    assert ex.start().verdict is Verdict.BEGUN


def test_an_exercise_is_found_by_its_earlier_name_and_what_was_done_under_it_counts(
    lab: Lab, progress: CourseProgress
) -> None:
    assert ALIASES["primer-arranque"] == "first-boot"
    assert len(ALIASES) == len(EXERCISES)
    assert exercise("primer-arranque").slug == "first-boot"
    progress.record_done("primer-arranque")
    assert FirstBoot(lab, progress=progress).is_done
    assert not TrulyFixed(lab, progress=progress).is_done


def test_an_alias_is_no_slug_of_another() -> None:
    assert not set(ALIASES) & set(EXERCISES)


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
    assert ex.mark not in str(ex._repr_mimebundle_()["text/html"])


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


def test_unknown_exercise_is_refused_with_names_like_it() -> None:
    with pytest.raises(NotFound) as refusal:
        exercise("segundo-arranque")
    assert "primer-arranque" in refusal.value.hint


def test_something_else_than_a_lab_is_refused() -> None:
    with pytest.raises(BadInput):
        exercise("first-boot", "default")  # type: ignore[arg-type]


def test_a_reset_removes_what_only_the_exercise_needs(ex: Exercise) -> None:
    """A file named as an image of its disks goes, a link as well; one that somebody's own disk stands on stays."""
    lab, name = ex.lab, f"{ex.machine}.vda"
    base, spare, link = (lab.home / "disks" / f"{name}.{number}.qcow2" for number in (7, 8, 9))
    for path in (base, spare):
        lab.disks.create("made", capacity="1 MiB")
        Path(lab.disks["made"].facts.active.path).rename(path)
    link.symlink_to("nowhere")
    own = lab.home / "disks" / "own.0.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "qcow2", own], check=True)
    ex.reset()
    assert base.exists()
    assert own.exists()
    assert not spare.exists()
    assert not link.is_symlink()
