"""What notebooks ask of a reader and of a computer: within bounds, and as the table at their top says."""

from __future__ import annotations

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
    Budget,
    Meter,
    asking,
    guests_of,
    minutes_of_reading,
    overruns,
    read_budget,
    sections,
)
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
    meter.add("c1", 20.0, 0.0)
    meter.add("c3", 39.0, 0.0)
    assert overruns(notebook, meter) == []
    meter.add("c3", 100.0, 61.0)  # the computer was busy with other things
    assert overruns(notebook, meter) == []
    meter.add("c3", 41.0, 0.0)
    assert overruns(notebook, meter) == ["61 s of waiting, not 60: c2 41 s, c0 20 s, title 0 s"]
    meter.add("c3", MOST_SECTION_SECONDS + 1.0, 0.0)
    meter.guests, meter.memory = 3, 145 * 2**20
    assert [text.partition(" ")[0] for text in overruns(notebook, meter)] == ["3", "145", "111", "section"]


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
