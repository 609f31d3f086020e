"""Meters the notebooks of a test run and fails the last cell of one that takes more than the table at its top says.

Knows: pytest's items, budgets. Must not know: what the cells do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
import pytest
from nbformat import NotebookNode

from tests.instance import INSTANCE
from tests.notebooks.budgets import TOOK, Meter, describe, overruns

_METERED = pytest.StashKey[tuple[NotebookNode, Meter]]()
BUDGET = "budget"
"""The property of a notebook's last cell that holds what was measured, in a line."""


@contextmanager
def metered(item: pytest.Item) -> Iterator[None]:
    """Meter an item if it is a cell of a notebook with a budget; the last one fails when the notebook overran it.

    Raises:
        AssertionError: more guests, memory or waiting than promised; only if every cell was run.
    """
    parent, cell = item.parent, getattr(item, "cell", None)
    if cell is None or parent is None or not item.path.name[:1].isdigit():
        yield
        return
    if _METERED not in parent.stash:
        notebook: NotebookNode = nbformat.read(item.path, as_version=4)
        parent.stash[_METERED] = notebook, Meter(item.config.stash[INSTANCE].folder).start()
    notebook, meter = parent.stash[_METERED]
    names = {cell.id for cell in notebook.cells if cell.cell_type == "code"}
    began, quiet = meter.clock()
    try:
        yield
    finally:
        now, later = meter.clock()
        meter.add(cell["id"], now - began, later - quiet)
        if names == set(meter.seconds):
            meter.stop()
    if names == set(meter.seconds):
        item.user_properties.append((BUDGET, describe(item.path.stem, notebook, meter)))
        found = overruns(notebook, meter, TOOK.get(item.path.stem))
        assert not found, f"{item.path.name} takes more than it says: " + "; ".join(found)
