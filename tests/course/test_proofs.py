"""Every exercise, proved: its start fails, its solution passes, whoever goes astray is told how, reset leaves nothing.

The first cheat and the first mistake are gone for real in every run, all of them in the long form; the others are
judged from recordings of real runs.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
from _pytest.mark.structures import ParameterSet

from labkit import Lab
from labkit.course.catalogue import EXERCISES
from labkit.course.exercise import Exercise, Result, Verdict
from labkit.course.progress import CourseProgress
from tests.course.astray import ALL, Astray, of
from tests.course.recordings import FOLDER, SOLVED, Recording, read_recording

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
ALONE = ("noisy-neighbour",)
"""Those that compare speeds."""
LEAST = 3
VARYING = (
    *("follow-the-mark", "truly-fixed", "slimmer", "grow", "wrongly-declared", "full-host", "other-controller"),
    *("noisy-neighbour", "this-tree", "without-loss", "free-space", "that-instant", "orphans", "broken-chain"),
    *("classroom", "let-go", "which-kind", "moved-base", "touched-base"),
)
"""Whose disks, or whose numbers, are others for practice."""
VARIED = VARYING if THOROUGH else ("truly-fixed", "grow", "orphans", "which-kind", "moved-base")
"""Those of them that are done with a seed in every run."""
STEP_BY_STEP = ("moving-house", "truly-fixed", "let-go")
"""Whose solution is followed by a check after each step in every run; in the long form all are."""


def _marked(slugs: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(slug, marks=pytest.mark.alone if slug in ALONE else ()) for slug in slugs]


SLUGS = _marked(EXERCISES)


# --- the list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cheats", [True, False], ids=["cheats", "mistakes"])
@pytest.mark.parametrize("slug", EXERCISES)
def test_each_exercise_withstands_three_cheats_and_three_mistakes_of_different_kinds(slug: str, cheats: bool) -> None:
    known = of(slug, cheats=cheats)
    assert len({each.kind for each in known}) >= LEAST
    assert len({each.name for each in known}) == len(known)


def test_nobody_goes_astray_where_there_is_no_exercise() -> None:
    assert {each.slug for each in ALL} == set(EXERCISES)


def test_the_table_of_who_is_refused_is_what_is_known(golden: Callable[[str, str], None]) -> None:
    rows = [
        f"| `{slug}` | {'; '.join(_told(of(slug, cheats=True)))} | {'; '.join(_told(of(slug, cheats=False)))} |"
        for slug in EXERCISES
    ]
    golden("astray.md", "\n".join(["| exercise | cheats | honest mistakes |", "|---|---|---|", *rows, ""]))


def _told(known: list[Astray]) -> list[str]:
    return [f"{each.name.replace('_', ' ')} ({each.kind})" for each in known]


# --- recorded -------------------------------------------------------------------------------------


def of_student(slug: str, recording: Recording, progress: CourseProgress) -> Exercise:
    """The exercise as the student has it of whom was recorded; no lab is needed to judge."""
    progress.path.parent.mkdir(parents=True, exist_ok=True)
    progress.path.write_text(f'{{"format": 1, "student": "{recording.student}"}}')
    return EXERCISES[slug](progress=progress)


def judge(slug: str, name: str, progress: CourseProgress) -> Result:
    """Judge what was recorded."""
    recording = read_recording(slug)
    case = recording.cases[name]
    return of_student(slug, recording, progress).judge_all(case.evidence, case.now)


@pytest.mark.parametrize("astray", ALL, ids=lambda astray: f"{astray.slug}-{astray.name}")
def test_what_was_recorded_of_somebody_astray_is_refused_with_a_sentence_that_fits(
    astray: Astray, progress: CourseProgress
) -> None:
    result = judge(astray.slug, astray.name, progress)
    assert result.verdict is not Verdict.DONE
    assert astray.says in result.why
    assert result.hint


@pytest.mark.parametrize("slug", EXERCISES)
def test_what_was_recorded_of_the_solution_passes(slug: str, progress: CourseProgress) -> None:
    assert judge(slug, SOLVED, progress).verdict is Verdict.DONE


@pytest.mark.parametrize("slug", EXERCISES)
def test_the_recorded_start_is_begun_and_nothing_else_was_recorded(slug: str, progress: CourseProgress) -> None:
    recording = read_recording(slug)
    assert set(recording.cases) == {SOLVED, *(each.name for each in ALL if each.slug == slug)}
    ex, start = of_student(slug, recording, progress), recording.cases[SOLVED].evidence
    begun = Verdict.NOT_STARTED if ex.starts_empty else Verdict.BEGUN
    assert ex.judge_all(start, start.reading).verdict is begun


@pytest.mark.parametrize("slug", EXERCISES)
def test_recordings_hold_no_path_of_a_computer(slug: str) -> None:
    assert not re.search(r"[\"' ]/(?:tmp|work|home)/", (FOLDER / f"{slug}.json").read_text())


# --- real -----------------------------------------------------------------------------------------


@contextmanager
def one_round(ex: Exercise, *, looking: bool = True) -> Iterator[None]:
    """From a start that is not done, to a reset that leaves nothing: what was made besides is removed first.

    Args:
        looking: whether the start is checked, too, beside what it says itself.
    """
    before = ex.lab.state
    assert ex.check().verdict is Verdict.NOT_STARTED
    try:
        begun = Verdict.NOT_STARTED if ex.starts_empty else Verdict.BEGUN
        assert ex.start().verdict is begun
        if looking:
            result = ex.check()
            assert result.verdict is begun, repr(result)
        yield
    finally:
        for machine in list(ex.lab.machines.values()):
            if machine.name not in ex.machines:
                machine.kill().delete()
        left = ex.reset()
    assert left.verdict is Verdict.NOT_STARTED
    assert not ex.is_done
    assert not ex.folder.exists()
    assert list((ex.lab.home / "disks").iterdir()) == []
    assert ex.lab.state == before


def go_astray(ex: Exercise, astray: Astray) -> None:
    """Do it, and be told."""
    astray.act(ex)
    result = ex.check()
    assert result.verdict is not Verdict.DONE, astray.name
    assert astray.says in result.why, f"{astray.name}: {result!r}"
    assert result.hint
    assert not ex.is_done


def follow_solution(ex: Exercise, *, looking: bool) -> None:
    """Run the solution that is shown; in the middle of it no check says that nothing is there, or that it is broken."""
    names = {"lab": ex.lab, "ex": ex}
    for step in ast.parse(ex.solution().code).body:
        exec(compile(ast.Module([step], []), ex.slug, "exec"), names)  # noqa: S102  what is shown is what is proved
        if looking:
            result = ex.check()
            assert result.verdict in (Verdict.BEGUN, Verdict.WRONG, Verdict.DONE), f"{ast.unparse(step)}: {result!r}"


@pytest.mark.parametrize("slug", SLUGS)
def test_cheats_are_refused(slug: str, classroom: Lab, progress: CourseProgress) -> None:
    ex = EXERCISES[slug](classroom, progress=progress)
    for cheat in of(slug, cheats=True)[: None if THOROUGH else 1]:
        with one_round(ex, looking=THOROUGH):
            go_astray(ex, cheat)


@pytest.mark.parametrize("slug", SLUGS)
def test_mistakes_are_told_and_the_solution_passes(slug: str, classroom: Lab, progress: CourseProgress) -> None:
    ex = EXERCISES[slug](classroom, progress=progress)
    for mistake in of(slug, cheats=False)[: None if THOROUGH else 1]:
        with one_round(ex):
            go_astray(ex, mistake)
            if not mistake.mends:
                ex.start()
            follow_solution(ex, looking=THOROUGH or slug in STEP_BY_STEP)
            result = ex.check()
            assert result.verdict is Verdict.DONE, repr(result)
            assert ex.is_done
            assert ex.hint().text == "Nothing is left to do."  # it has looked once more, and found the same


@pytest.mark.parametrize("slug", _marked(VARIED))
def test_another_one_has_other_sizes_and_withstands_the_same(
    slug: str, classroom: Lab, progress: CourseProgress
) -> None:
    ex = EXERCISES[slug](classroom, progress=progress)
    ex.start()
    own = sizes_of(ex)
    ways = [*of(slug, cheats=True)[: None if THOROUGH else 1], *of(slug, cheats=False)[: None if THOROUGH else 1]]
    try:
        for way in ways:
            assert ex.another(OTHER).verdict is Verdict.BEGUN
            assert sizes_of(ex) != own
            go_astray(ex, way)
            for machine in list(ex.lab.machines.values()):
                if machine.name not in ex.machines:
                    machine.kill().delete()
        ex.another(OTHER)
        follow_solution(ex, looking=False)
        assert ex.check().verdict is Verdict.DONE, repr(ex.check())
        assert ex.seed
        assert not ex.is_done
    finally:
        ex.reset()


def test_each_size_is_drawn_from_the_seed_and_ones_own_stay(lab: Lab, progress: CourseProgress) -> None:
    for kind in EXERCISES.values():
        ex = kind(lab, progress=progress)
        drawn = set()
        for number in range(30):
            ex._kept.keep(None, seed=f"seed-{number}")
            drawn.add(ex.drawn("capacity", 1, 2, 3))
            assert ex.drawn("capacity", 1, 2, 3) == ex.drawn("capacity", 1, 2, 3)
        ex._kept.keep(None, seed="")
        assert drawn == {1, 2, 3}
        assert ex.drawn("capacity", 1, 2, 3) == 1


OTHER = "s132"
"""A seed that draws other sizes than one's own for each that varies."""


def sizes_of(ex: Exercise) -> list[object]:
    """The capacities of an exercise's disks, and what its task names."""
    there = [disk for disk in ex.lab.disks.values() if not disk.name.endswith(".vda")]
    return [*sorted(disk.capacity for disk in there), *ex.amounts.values(), getattr(ex, "capacity", 0)]
