"""A kernel dies at any instant of an act: the lab ends exactly before the act, or exactly after it.

Each act is run in a process that is killed before each call that matters: before each step is done, before
it is written down, before the act is struck out. Then the lab is opened by us.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from labkit import Lab
from tests.engine.kernel import Instant, Kernel
from tests.engine.picture import Picture, take_picture, without_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An act to be killed in.

    Attributes:
        code: Python that carries it out. steps: how many it has. commit: the index of its commit point.
        starts: whether `web` runs before. killed_in: the steps it is killed in; none: in all of them.
        before_commit, after_commit: functions called within a step, on one or the other side of the commit point.
    """

    code: str
    steps: int
    commit: int
    starts: bool = False
    killed_in: tuple[int, ...] = ()
    before_commit: tuple[str, ...] = ()
    after_commit: tuple[str, ...] = ()


REPLACE = 'lab.create("web", image="sector", memory="16 MiB", message="Hola", if_exists="replace")'
CASES = {
    "create": Case(
        code='lab.create("new", image="sector", memory="16 MiB", message="Hola")',
        steps=3,
        commit=2,
        before_commit=("_copy_data", "write_padded", "build_domain_xml"),
    ),
    "replace": Case(code=REPLACE, steps=5, commit=2, before_commit=("_copy_data",), after_commit=("delete_files",)),
    "replace-running": Case(code=REPLACE, steps=6, commit=2, starts=True, killed_in=(2,)),
    "rename": Case(code='lab.machines["web"].rename("new")', steps=1, commit=0, after_commit=("rename_in_domain_xml",)),
    "configure": Case(
        code='lab.machines["web"].configure(memory="32 MiB", vcpus=2)',
        steps=1,
        commit=0,
        before_commit=("change_domain_xml",),
    ),
    "delete": Case(code='lab.machines["web"].delete()', steps=2, commit=0, after_commit=("delete_files",)),
    "clean": Case(code="lab.clean()", steps=2, commit=0),
    "clean-running": Case(code="lab.clean()", steps=3, commit=0, starts=True, killed_in=(0,)),
}


def instants(case: Case) -> Iterator[tuple[Instant, bool]]:
    """When to kill, and whether the act is past its commit point then."""
    for step in case.killed_in or range(case.steps):
        yield Instant(function="do_step", number=step), step > case.commit
        yield Instant(function="step_done", number=step), step >= case.commit
    if not case.killed_in:
        yield Instant(function="strike_out"), True
    yield from ((Instant(function=name), False) for name in case.before_commit)
    yield from ((Instant(function=name), True) for name in case.after_commit)


SWEEP = [
    pytest.param(name, instant, past, id=f"{name}-{instant}")
    for name, case in CASES.items()
    for instant, past in instants(case)
]


def prepare(lab: Lab, case: Case) -> None:
    """The same lab before each act."""
    web = lab.create("web", image="sector", memory="16 MiB")
    if case.starts:
        web.start()


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Picture]:
    """What a lab is after each act that nobody killed, by the name of the case."""
    pictures = {}
    for name, case in CASES.items():
        with Lab.open(f"crash-{name}") as lab:
            prepare(lab, case)
            exec(case.code, {"lab": lab})  # noqa: S102 — the code above
            pictures[name] = without_identity(take_picture(lab))
            lab.clean()
    return pictures


@pytest.fixture
def crash_lab(name: str) -> Iterator[Lab]:
    """The lab of a case, ready for its act; nothing is left of it afterwards."""
    with Lab.open(f"crash-{name}") as lab:
        prepare(lab, CASES[name])
        yield lab
        lab.clean()
        left = take_picture(lab)
        assert (left.machines, [name for name, _digest in left.files], left.processes) == ((), ["lab.json"], 0)


@pytest.mark.parametrize(("name", "instant", "past"), SWEEP)
def test_a_killed_act_is_taken_back_or_completed(
    crash_lab: Lab, undisturbed: dict[str, Picture], name: str, instant: Instant, *, past: bool
) -> None:
    before = take_picture(crash_lab)
    with Kernel(f"with Lab.open({crash_lab.name!r}) as lab: {CASES[name].code}", stop=instant) as kernel:
        kernel.wait_stopped()

    began = time.monotonic()
    with Lab.open(crash_lab.name) as lab:
        assert time.monotonic() - began < 120
        (sentence,) = lab.recovered
        after = take_picture(lab)
    if past:
        assert "has been completed" in sentence
        assert without_identity(after) == undisturbed[name]
    else:
        assert "taken back" in sentence
        assert after == before


def test_an_act_of_a_dead_kernel_is_ended_before_the_next_act(sector_lab: Lab) -> None:
    code = f"with Lab.open({sector_lab.name!r}) as lab: lab.create('new', image='sector', memory='16 MiB')"
    with Kernel(code, stop=Instant(function="step_done")) as kernel:
        kernel.wait_stopped()
    sector_lab.create("new", image="sector", memory="16 MiB")
    # the new image has another name than the one that the interrupted act was making
    assert sorted(path.name for path in (sector_lab.home / "disks").iterdir()) == ["new.vda.1.raw", "web.vda.0.raw"]
    assert len(sector_lab.recovered) == 1


def test_a_half_made_image_is_not_there_and_clean_removes_it(sector_lab: Lab) -> None:
    code = f"with Lab.open({sector_lab.name!r}) as lab: lab.create('new', image='sector', memory='16 MiB')"
    with Kernel(code, stop=Instant(function="_copy_data")) as kernel:
        kernel.wait_stopped()
        assert len(list((sector_lab.home / "disks").iterdir())) == 2
        assert len(sector_lab.state.images) == 1
        assert sector_lab.state.strays == ()
    sector_lab.clean()
    assert list((sector_lab.home / "disks").iterdir()) == []
    assert list((sector_lab.home / "journal").iterdir()) == []


def test_a_journal_that_cannot_be_read_does_not_close_the_lab(sector_lab: Lab) -> None:
    (sector_lab.home / "journal" / "0.jsonl").write_text("{")
    with Lab.open(sector_lab.name) as lab:
        assert "0.jsonl" in lab.recovered[0]
        assert lab.machines["web"].state == "off"
    (sector_lab.home / "journal" / "0.unreadable").unlink()


def test_a_file_of_nobody_is_named_in_the_plan_and_removed(sector_lab: Lab) -> None:
    stray = sector_lab.home / "disks" / "web.vda.1.qcow2"
    stray.write_text("no image")
    assert str(stray) in sector_lab.clean.plan().files.deleted
    sector_lab.create("web", image="sector", memory="16 MiB", if_exists="replace")
    assert stray.read_text() == "no image"
