"""A tree to choose from: a row for each point, with the stretches between them drawn as one picture, as in the figures.

It is one stop of the Tab key; in `trees.js` the arrow keys move through it and choose. For screen readers it is a tree;
the picture shows nothing that the rows do not say in words.

Knows: where points are placed, the page. Must not know: what the points are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from labkit.language import _
from labkit.model.snapshot import SnapshotKind
from labkit.model.tree_layout import find_way
from labkit.widgets.parts import search_field
from labkit.widgets.tree import Node, tag

ROW, LANE = 20, 16
"""Sizes in the picture in pixels; the picture is then scaled to the letters."""

ROW_HEIGHT: Final = 1.9
"""The height of a row in letters' heights, as in the style sheet."""

SEEN_AT_ONCE: Final = 12
"""From more rows than this on there is a field to find some of them by their words."""

MOST_ACROSS: Final = 16.0
"""How wide all lanes may be, in letters' heights, before they move closer together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A row of the tree: a point, and the stretch that leads to it from the one it stands on.

    Attributes:
        key: what choosing it asks for. below: the key of the row it hangs on, or None. lane: how far to the right.
        name, words: the text beside it; note: further text, which stands out.
        mark: its shape, one of `MARKS`. line: how its stretch looks: "other", "way" (the machine reads through it),
            "active" (still written to), "linked" (to another machine's images) or "missing" (it is yet to come).
        stretch: what the stretch is, shown when pointed at.
        is_here: whether work goes on there.
    """

    key: str
    below: str | None = None
    lane: int = 0
    name: str
    words: str = ""
    note: str = ""
    mark: str
    line: str = "other"
    stretch: str = ""
    is_here: bool = False


def render_branches(branches: Sequence[Branch], chosen: str | None, *, label: str, action: str = "show") -> Node:
    """Return a tree to choose from.

    Args:
        branches: each after the one it hangs on. chosen: the key of the chosen one, or None.
        label: what the tree is, for screen readers. action: the action of choosing; the key is its `subject`.
    """
    levels: dict[str, int] = {}
    for branch in branches:
        levels[branch.key] = levels.get(branch.below, 0) + 1 if branch.below is not None else 1
    parents = {branch.below for branch in branches}
    lane, picture = _draw(branches)
    rows = [
        tag(
            "li",
            tag("span", branch.name, class_="labkit-name"),
            tag("span", branch.words, class_="labkit-quiet") if branch.words else None,
            tag("strong", branch.note) if branch.note else None,
            key=branch.key,
            title=branch.words or branch.name,
            role="treeitem",
            aria_level=levels[branch.key],
            aria_selected="true" if branch.key == chosen else "false",
            aria_current="true" if branch.is_here else None,
            aria_expanded="true" if branch.key in parents else None,
            data_action=action,
            data_subject=branch.key,
            data_below=branch.below,
            data_words=f"{branch.name} {branch.words} {branch.note}".casefold(),
            class_="labkit-noted" if branch.note else None,
            style=_indent(branch, lane),
        )
        for branch in branches
    ]
    inside = tag(
        "div",
        tag("ul", *rows, role="tree", aria_label=label, class_="labkit-rows"),
        picture,
        class_="labkit-branches",
        data_filtered="rows",
    )
    search = search_field("rows", _("a part of a name, a word")) if len(branches) > SEEN_AT_ONCE else None
    return tag("div", search, tag("div", inside, class_="labkit-choose"))


def render_picture(branches: Sequence[Branch], *, label: str) -> Node:
    """Return such a tree to look at alone: its rows are a list."""
    lane, picture = _draw(branches)
    rows = [
        tag(
            "li",
            tag("code", branch.name),
            tag("span", branch.words, class_="labkit-quiet"),
            key=branch.key,
            style=_indent(branch, lane),
        )
        for branch in branches
    ]
    return tag(
        "div", tag("ul", *rows, aria_label=label, class_="labkit-rows"), picture, class_="labkit-branches labkit-goal"
    )


def _draw(branches: Sequence[Branch]) -> tuple[float, Node]:
    """Return how far apart the lanes are, and the picture beside the rows."""
    lanes = max((branch.lane for branch in branches), default=0)
    lane = min(LANE, MOST_ACROSS * ROW / ROW_HEIGHT / (lanes + 1))
    em = ROW_HEIGHT / ROW
    return lane, tag(
        "svg",
        *_draw_lines(branches, lane),
        *[_draw_mark(branch.mark, branch.lane * lane + LANE / 2, row) for row, branch in enumerate(branches)],
        viewBox=f"0 0 {lanes * lane + LANE:g} {len(branches) * ROW}",
        width=f"{(lanes * lane + LANE) * em:.4g}em",
        height=f"{len(branches) * ROW_HEIGHT:.4g}em",
        aria_hidden="true",
    )


def _indent(branch: Branch, lane: float) -> str:
    return f"padding-left:{(branch.lane * lane + LANE) * ROW_HEIGHT / ROW + 0.35:.4g}em"


def _draw_lines(branches: Sequence[Branch], lane: float) -> list[Node]:
    """Return the stretches; the wide ones last, so that they are on top."""
    places = {branch.key: (row, branch.lane) for row, branch in enumerate(branches)}
    drawn = []
    for branch in sorted(
        branches, key=lambda branch: ("missing", "linked", "other", "way", "active").index(branch.line)
    ):
        if branch.below not in places:
            continue
        way = find_way(places[branch.below], places[branch.key])
        points = " ".join(f"{across * lane + LANE / 2:g},{_y(row):g}" for across, row in way)
        title = tag("title", branch.stretch) if branch.stretch else None
        look = f"labkit-stretch labkit-{branch.line}"
        drawn.append(tag("polyline", title, points=points, fill="none", class_=look, key=branch.key))
    return drawn


def _y(row: float) -> float:
    return row * ROW + ROW / 2


MARKS: Final = {
    SnapshotKind.OFF: "labkit-hollow",
    SnapshotKind.RUNNING: "labkit-full",
    SnapshotKind.PAUSED: "labkit-full",
    SnapshotKind.DISK_ONLY: "labkit-hollow",
    "here": "labkit-here",
    "disk": "labkit-hollow labkit-free",
    "attached": "labkit-hollow labkit-guest",
    "layer": "labkit-full",
    "boot": "labkit-full",
    "there": "labkit-full",
    "missing": "labkit-hollow labkit-missing",
}
"""How each mark is filled; as in the drawings, marks without memory are hollow."""

_CORNERS: Final = {
    SnapshotKind.RUNNING: "-4,-5 5.5,0 -4,5",
    SnapshotKind.PAUSED: "-4.5,-4.5 4.5,-4.5 4.5,4.5 -4.5,4.5",
    SnapshotKind.DISK_ONLY: "0,-6 6,0 0,6 -6,0",
    "here": "0,-8 1.9,-2.6 7.6,-2.5 3,1 4.7,6.5 0,3.2 -4.7,6.5 -3,1 -7.6,-2.5 -1.9,-2.6",
    "boot": "-1.5,-5 1.5,-5 1.5,-1.5 5,-1.5 5,1.5 1.5,1.5 1.5,5 -1.5,5 -1.5,1.5 -5,1.5 -5,-1.5 -1.5,-1.5",
}

_RADII: Final = {SnapshotKind.OFF: 4.8, "disk": 4.8, "attached": 4.8, "layer": 2.4, "there": 4.8, "missing": 4.8}


def _draw_mark(mark: str, x: float, row: int) -> Node:
    look = f"labkit-point {MARKS[mark]}"
    if mark in _RADII:
        return tag("circle", cx=f"{x:g}", cy=f"{_y(row):g}", r=_RADII[mark], class_=look)
    return tag("polygon", points=_CORNERS[mark], transform=f"translate({x:g} {_y(row):g})", class_=look)
