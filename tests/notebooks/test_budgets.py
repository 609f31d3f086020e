"""What notebooks ask of a reader and of a computer: within bounds, and as the table at their top says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from labkit import Lab
from tests.instance import Instance
from tests.notebooks.budgets import (
    MOST_ASKING,
    MOST_MINUTES,
    MOST_SECTION_SECONDS,
    SPEED,
    TOOK,
    Budget,
    Meter,
    asking,
    guests_of,
    minutes_of_reading,
    overruns,
    read_budget,
    sections,
)
from tests.notebooks.effort import LOOK_SECONDS, Effort
from tests.notebooks.execute import find_notebooks, read_notebook
from tests.notebooks.metering import metered

NOTEBOOKS = find_notebooks("0")
TITLE = """# A notebook

| budget | |
|---|---|
| your time | 1 minute |
| machines at once | 1, and once 2 |
| their memory | 144 MiB at most |
| waiting | less than 1 minute |
"""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def notebook(request: pytest.FixtureRequest) -> NotebookNode:
    path: Path = request.param
    return read_notebook(path)


def written(*cells: str) -> NotebookNode:
    """Return a notebook; what begins with # or is no code is prose."""
    made = [nbformat.v4.new_markdown_cell(TITLE, id="title")]
    for at, text in enumerate(cells):
        if "(" in text:
            made.append(nbformat.v4.new_code_cell(text, id=f"c{at}"))
        else:
            made.append(nbformat.v4.new_markdown_cell(text, id=f"c{at}"))
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=made)
    return notebook


def test_the_core_is_read_in_forty_minutes_and_in_the_time_that_its_table_says(notebook: NotebookNode) -> None:
    assert minutes_of_reading(notebook) <= MOST_MINUTES
    assert read_budget(notebook).minutes <= MOST_MINUTES


def test_at_most_six_sections_of_the_core_ask(notebook: NotebookNode) -> None:
    assert len(asking(notebook)) <= MOST_ASKING


def test_minutes_follow_the_formula_and_leave_out_what_is_not_the_core() -> None:
    words = " ".join(["word"] * 150)
    ask, code = 'predict("floors")', "vm.start()"
    title = len(TITLE.split()) / 150
    assert minutes_of_reading(written(f"## One\n\n{words}", code)) == pytest.approx(title + 152 / 150 + 0.5)
    assert minutes_of_reading(written("## One", ask)) == pytest.approx(title + 2 / 150 + 1)
    hand = "**By hand**\n\n```text\n" + words + "\n```"
    assert minutes_of_reading(written(hand)) == pytest.approx(title + 2 / 150)
    folded = written("## One", ask, words, ask)
    folded.cells[3].id = "deeper"
    folded.cells[3].source = "## Going deeper\n\n" + words
    assert minutes_of_reading(folded) == minutes_of_reading(written("## One", ask))
    assert asking(folded) == ["c0"]
    assert [*sections(folded)] == ["title", "c0", "deeper"]


def test_the_largest_number_of_a_row_is_the_budget() -> None:
    assert read_budget(written()) == Budget(minutes=1, guests=2, memory=144 * 2**20, seconds=60)


def test_a_run_that_takes_more_than_its_table_says_is_told(tmp_path: Path) -> None:
    notebook = written("## One", "vm.start()", "## Two", "vm.stop()")
    meter = Meter(tmp_path, guests=2, memory=144 * 2**20)
    meter.add("c1", 20.0, 20.0)
    meter.add("c3", 39.0, 39.0)
    assert overruns(notebook, meter) == []
    meter.add("c3", 100.0, 39.0)  # the computer was busy with other things
    assert overruns(notebook, meter) == []
    meter.add("c3", 41.0, 41.0)
    assert overruns(notebook, meter) == ["61 s of waiting, not 60: c2 41 s, c0 20 s, title 0 s"]
    meter.add("c3", MOST_SECTION_SECONDS + 1.0, MOST_SECTION_SECONDS + 1.0)
    meter.guests, meter.memory = 3, 145 * 2**20
    assert [text.partition(" ")[0] for text in overruns(notebook, meter)] == ["3", "145", "111", "section"]


@pytest.mark.parametrize("speed", [SPEED, SPEED / 2, 3 * SPEED])
def test_a_core_that_waits_twice_as_long_as_it_did_is_told_on_a_computer_of_any_speed(
    tmp_path: Path, speed: float
) -> None:
    notebook, meter = written("## One", "vm.start()"), Meter(tmp_path, speed=speed)
    for times, told in ((1, 0), (1.5, 0), (2, 1)):
        meter.add("c1", 1000.0, 10 * times * speed / SPEED)
        assert len(overruns(notebook, meter, took=10.0)) == told


def test_every_notebook_has_been_measured() -> None:
    assert set(TOOK) == {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize(
    ("stretches", "quiet"),
    [
        ([(10, [0], 0)], 10),  # it waited for something
        ([(10, [10], 0)], 10),  # it worked
        ([(10, [4], 0)], 10),  # both
        ([(10, [2.5], 7.5)], 2.5),  # it worked, and stood in the queue
        ([(10, [10, 10], 0)], 10),  # two worked side by side
        ([(10, [2.5, 2.5], 15)], 2.5),  # two would have, and had a quarter of each CPU
        ([(10, [2.5, 0.01], 15)], 2.5),  # one would have, and another only looked up
        ([(10, [1.25] * 8, 70)], 5),  # eight wanted to: there are two CPUs anyway
        ([(10, [1], 4)], 6),  # for half of it nobody was at work
        ([(0.3, [0], 0), (0.3, [0.1], 0.5)] * 10, 1),  # it stood in the queue, and that was counted later
        ([(0, [], 0)], 0),
    ],
)
def test_seconds_of_a_quiet_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stretches: list[tuple[float, list[float], float]], quiet: float
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    effort = Effort(tmp_path)
    for seconds, ran, queued in stretches:
        effort._add(seconds, ran, queued)
    assert effort.sum + max(0.0, effort._doubt) == pytest.approx(quiet, rel=0.5 if len(stretches) > 1 else 0.01)


WORK = "import time\nwhile time.process_time() < 1: pass\ntime.sleep(1)"
"""A second of work, and a second of waiting."""
BURN = "while True: pass"


@pytest.mark.alone
def test_what_a_run_takes_does_not_depend_on_what_else_is_at_work(tmp_path: Path) -> None:
    def measure(work: str) -> tuple[float, float]:
        effort, began = Effort(tmp_path), time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", work, f"{tmp_path}/"])
        while process.poll() is None:
            effort.look()
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began, effort.look()

    busy = [subprocess.Popen([sys.executable, "-c", BURN]) for _each in range(2 * (os.cpu_count() or 1))]
    try:
        (seconds, quiet), (_seconds, twice) = measure(WORK), measure(f"{WORK}\n{WORK}".replace("< 1", "< 2"))
    finally:
        for each in busy:
            each.kill()
            each.wait()
    assert seconds > 2.3, "the others were in its way"
    assert quiet == pytest.approx(2.0, rel=0.35)
    assert twice - quiet == pytest.approx(2.0, rel=0.35)


def test_guests_and_their_memory_are_counted_from_outside(lab: Lab, instance: Instance) -> None:
    before = guests_of(instance.folder)
    one = lab.create("one", image="sector", memory="16 MiB").start()
    lab.create("two", image="sector", memory="32 MiB").start()
    more = guests_of(instance.folder)
    assert sorted(more) == sorted([*before, 16 * 2**20, 32 * 2**20])
    assert guests_of(instance.folder / "elsewhere") == []
    meter = Meter(instance.folder)
    meter.look()
    one.kill()
    meter.look()
    assert (meter.guests, meter.memory) == (len(more), sum(more))


def test_what_is_no_cell_is_not_metered(request: pytest.FixtureRequest) -> None:
    with metered(request.node):
        pass
    assert request.node.user_properties == []
