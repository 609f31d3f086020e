"""The mutations follow the source: each still changes it, and is told of in the core of its notebook."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from tests.notebooks.execute import read_notebook
from tests.notebooks.mutations import MUTATIONS, Mutation, core_of, find_notebook, mutant, run_mutant

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
TRIED = MUTATIONS if THOROUGH else tuple(each for each in MUTATIONS if each.name == "locate-off-by-a-cluster")
"""In the suite the shortest one is run for real, so that it is known that a mutant can turn a notebook red."""


@pytest.fixture(params=MUTATIONS, ids=lambda mutation: mutation.name)
def mutation(request: pytest.FixtureRequest) -> Mutation:
    chosen: Mutation = request.param
    return chosen


def test_it_changes_the_source_into_other_source(mutation: Mutation) -> None:
    with mutant(mutation) as folder:
        for change in mutation.changes:
            source = (folder / change.file).read_text()
            ast.parse(source)
            assert source != (Path(__file__).parents[2] / change.file).read_text()


def test_it_is_told_of_in_the_core_of_its_notebook(mutation: Mutation) -> None:
    core = core_of(read_notebook(find_notebook(mutation)), mutation.cell)
    assert core.cells[-1].id == mutation.cell
    assert core.cells[-1].outputs


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tried", TRIED, ids=lambda mutation: mutation.name)
def test_a_notebook_notices_it(tried: Mutation) -> None:
    noticed = run_mutant(tried)
    assert noticed is not None
    assert noticed.by_comparison, f"{noticed.cell} fails, before any cell says what is wrong"
