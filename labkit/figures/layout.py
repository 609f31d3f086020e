"""How large a tree of points is drawn, and how its rows are distributed over columns.

Rows and lanes come from `labkit.model.tree_layout`.

Knows: trees. Must not know: how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from labkit.figures import style
from labkit.model.tree_layout import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a tree is drawn.

    Attributes:
        width, height: inches; the height is the least one. text: points. row, lane: inches. rows: how many a column
            holds before another is begun, up to `columns` of them. words: whether what a snapshot keeps is written
            beside it; else a key below explains the marks.
    """

    width: float
    height: float
    text: float
    row: float
    lane: float
    rows: int
    columns: int
    words: bool = True

    def columns_for(self, rows: int) -> int:
        """Return how many columns so many rows need."""
        return min(self.columns, math.ceil(rows / self.rows))

    def fitted(self, rows: int) -> Size:
        """Return this size with the height that so many rows need, or with rows and letters that fill its height."""
        height = max(self.height, MARGIN + self.row * rows)
        row = max(self.row, min(0.62, (height - MARGIN) / rows))
        return replace(self, height=height, row=row, text=max(self.text, min(28.0, self.text * row / self.row / 1.4)))


MARGIN: Final = 0.1
"""Inches above and below the rows together."""

NOTEBOOK: Final = Size(width=style.WIDTH, height=0.7, text=style.TEXT, row=0.29, lane=0.26, rows=32, columns=2)

OVERVIEW: Final = Size(width=style.WIDTH, height=0.7, text=7, row=0.15, lane=0.13, rows=60, columns=3, words=False)
"""For trees of more than `MANY` snapshots, which do not fit on a page."""

MANY: Final = 200

LARGE: Final = Size(width=1280 / style.DOTS, height=720 / style.DOTS, text=18, row=0.29, lane=0.34, rows=20, columns=3)
"""For a projector: 1280 × 720 dots, letters of 18 points or more."""


def cut(line: Line, per_column: int) -> Iterator[tuple[int, Line]]:
    """Cut a line where its rows continue at the top of the next column; yields columns and pieces."""
    (x, above), (_x, below) = line[:2]
    column, last = int(above // per_column), math.floor(line[-1][1] / per_column)
    top = above
    while column < last:
        yield column, [(x, top - column * per_column), (x, per_column - 0.5)]
        column += 1
        top = column * per_column - 0.5
    rest = [(x, max(below, top)), *line[2:]]
    yield last, [(px, py - last * per_column) for px, py in [(x, top), *rest]]
