"""What `DiskPanel` shows: the list of disks, three sizes as bars, growth, the map. Functions from values to trees.

Knows: disks, regions. Must not know: threads, the lab, what can be done.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from labkit.language import _, ngettext
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation
from labkit.model.regions import RegionKind
from labkit.model.words import allocation_word
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.branches import Branch, render_branches
from labkit.widgets.tree import Child, Node, tag

if TYPE_CHECKING:
    from labkit.model.regions import Region

WIDTH, HEIGHT = 360, 16
"""The size of a bar, in pixels."""

CELLS = 180
"""Into how many cells a map is divided; a region smaller than a cell still shows."""


def kind_word(allocation: Allocation) -> str:
    """Return "fixed" or "dynamic" in the language in force."""
    return _("fixed") if allocation is Allocation.FIXED else _("dynamic")


def describe(disk: DiskFacts) -> str:
    """Return a line about a disk, without anything measured."""
    place = _("{target} of {machine}").format(target=disk.target, machine=disk.machine) if disk.machine else _("free")
    return f"{disk.format}, {allocation_word(disk.base)}, {format_size(disk.capacity)} — {place}"


def render_list(disks: Iterable[DiskFacts], shown: str | None) -> Node:
    """Return the lab's disks to choose from."""
    rows = [
        Branch(key=disk.name, name=disk.name, words=describe(disk), mark="attached" if disk.machine else "disk")
        for disk in disks
    ]
    return render_branches(rows, shown, label=_("Disks")) if rows else tag("p", _("There is no disk yet: create one."))


def render_sizes(disk: DiskFacts, grown: Sequence[int]) -> Node:
    """Return the three sizes as bars on one scale, and how the allocated bytes have changed.

    Args:
        grown: bytes allocated over the last minute, oldest first.
    """
    top = max(disk.capacity, disk.length, disk.allocated)
    rows: list[tuple[str, Child]] = [
        (_("capacity: what the guest sees"), _bar(disk.capacity, top, "capacity")),
        (_("length of its files"), _bar(disk.length, top, "length")),
        (_("allocated: what the host gave"), _bar(disk.allocated, top, "allocated")),
    ]
    if len(grown) > 1:
        change = grown[-1] - grown[0]
        words = _("no change over the last minute")
        if change:
            sign = "+" if change > 0 else "−"
            words = _("{change} over the last minute").format(change=sign + format_size(abs(change)))
        line = parts.sparkline([float(size) for size in grown], top=float(top), label=words)
        rows.append((_("growth"), tag("span", line, " ", words)))
    return parts.table(rows)


def _bar(size: int, top: int, kind: str) -> Node:
    width = max(1.0, WIDTH * size / top)
    picture = tag(
        "svg",
        tag("rect", x=0.5, y=0.5, width=f"{max(0.5, width - 1):.1f}", height=HEIGHT - 1, class_=f"labkit-{kind}"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        preserveAspectRatio="none",
        class_="labkit-strip",
        role="img",
        aria_label=format_size(size),
    )
    return tag("span", picture, " ", format_size(size), class_="labkit-measure")


def render_map(disk: DiskFacts, regions: Sequence[Region], *, is_written: bool) -> Node:
    """Return a strip for each layer, top → base: full height for data, low for zeros, empty for nothing.

    Args:
        is_written: whether a running guest may be writing to it.
    """
    lag = _("{machine} is running: what it has not flushed to its disk yet is not on the map.")
    rows = [(posixpath.basename(layer.path), _strip(disk, regions, number)) for number, layer in enumerate(disk.layers)]
    return tag(
        "div",
        tag("h4", _("Map: which layer holds what the guest sees")),
        parts.table(rows),
        tag("p", _("Full height: data. Low: zeros that are not stored. Empty: nothing here."), class_="labkit-quiet"),
        tag("p", lag.format(machine=disk.machine), class_="labkit-quiet") if is_written else None,
    )


def _strip(disk: DiskFacts, regions: Sequence[Region], layer: int) -> Node:
    cells = _cells(disk.capacity, regions, layer)
    width = WIDTH / CELLS
    marks = []
    for first, last, kind in _runs(cells):
        high = HEIGHT - 2 if kind is RegionKind.DATA else (HEIGHT - 2) / 3
        x, across = first * width, (last - first) * width
        look = "labkit-data" if kind is RegionKind.DATA else "labkit-zero"
        marks.append(
            tag("rect", x=f"{x:g}", y=f"{HEIGHT - 1 - high:g}", width=f"{across:g}", height=f"{high:g}", class_=look)
        )
    held = sum(region.length for region in regions if region.layer == layer and region.kind is RegionKind.DATA)
    words = _("{size} of data").format(size=format_size(held)) if held else _("nothing yet")
    return tag(
        "span",
        tag(
            "svg",
            tag("rect", x=0.5, y=0.5, width=WIDTH - 1, height=HEIGHT - 1, class_="labkit-capacity"),
            *marks,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            width=WIDTH,
            height=HEIGHT,
            preserveAspectRatio="none",
            class_="labkit-strip",
            role="img",
            aria_label=words,
        ),
        " ",
        words,
        class_="labkit-measure",
    )


def _cells(capacity: int, regions: Sequence[Region], layer: int) -> list[RegionKind | None]:
    """Return what a layer has in each cell; data counts before zeros if a cell holds both."""
    cells: list[RegionKind | None] = [None] * CELLS
    for region in regions:
        if region.layer != layer or not capacity:
            continue
        first = region.start * CELLS // capacity
        last = min(CELLS, max(first + 1, -(-region.end * CELLS // capacity)))
        for cell in range(first, last):
            if cells[cell] is not RegionKind.DATA:
                cells[cell] = region.kind
    return cells


def _runs(cells: Sequence[RegionKind | None]) -> list[tuple[int, int, RegionKind]]:
    """Return stretches of equal cells: the first, one beyond the last, what they hold."""
    found: list[tuple[int, int, RegionKind]] = []
    for place, kind in enumerate(cells):
        if kind is None:
            continue
        if found and found[-1][1] == place and found[-1][2] is kind:
            found[-1] = (found[-1][0], place + 1, kind)
        else:
            found.append((place, place + 1, kind))
    return found


def count_words(count: int) -> str:
    """Return how many disks there are."""
    return ngettext("{count} disk", "{count} disks", count).format(count=count)
