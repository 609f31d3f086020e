"""Drawings of maps: which layer holds what the guest sees, and where in the file a byte of the guest is.

Knows: regions. Must not know: how a map is read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.kinds import GIVEN_HATCH, ZERO, ZERO_HATCH, legend
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.regions import Region, RegionKind, find_region
from labkit.units import MIB, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1 / 250
"""The part of the width that even a tiny region gets, so that it can be seen."""


LABEL_WIDTH = 0.13
"""The part of the width that a number needs."""


@drawn
def draw_map(disk: DiskFacts, regions: Sequence[Region], ax: Axes | None = None) -> Drawing:
    """Draw a disk's map as a strip for each layer, top → base: data, zeros, nothing.

    Args:
        disk: `disk.facts`. regions: `disk.map()`.
    """
    layers = disk.layers

    def draw(axes: Axes) -> None:
        _frames(axes, len(layers), disk.capacity)
        used = set()
        for region in regions:
            if region.layer is None:
                continue
            axes.barh(
                region.layer,
                max(region.length, disk.capacity * LEAST) / MIB,
                left=region.start / MIB,
                height=0.6,
                linewidth=0,
                label=None if region.kind in used else _kind_word(region.kind),
                **_looks(region.kind),
            )
            used.add(region.kind)
        axes.barh(-9, 0, facecolor=style.GROUND, edgecolor=style.GUEST, label=_("nothing here"))
        names = [
            posixpath.basename(layer.path) + "\n" + (_("below it") if number else _("active"))
            for number, layer in enumerate(layers)
        ]
        axes.set_yticks(range(len(layers)), names, size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(layers) - 0.5, -0.5)
        axes.set_xlim(0, disk.capacity / MIB * (1 + LEAST))
        axes.set_xlabel(_("MiB, as the guest counts"), size=style.SMALL, color=style.QUIET)
        legend(axes)

    return Drawing(draw, map_words(disk, regions), height=1.0 + 0.55 * len(layers), ax=ax)


def map_words(disk: DiskFacts, regions: Sequence[Region]) -> str:
    """Return a map in words, without sizes, which differ between hosts."""
    lines = [_("{name}, {capacity}:").format(name=disk.name, capacity=format_size(disk.capacity))]
    for number, layer in enumerate(disk.layers):
        kinds = {region.kind for region in regions if region.layer == number}
        words = ", ".join(_kind_word(kind) for kind in RegionKind if kind in kinds) or _("nothing")
        lines.append(f"  {posixpath.basename(layer.path)}: {words}")
    return "\n".join(lines)


def _frames(axes: Axes, layers: int, capacity: int) -> None:
    for row in range(layers):
        axes.barh(row, capacity / MIB, height=0.6, facecolor=style.GROUND, edgecolor=style.GUEST, linewidth=1.2)


def _kind_word(kind: RegionKind) -> str:
    return {RegionKind.DATA: _("data"), RegionKind.ZERO: _("zeros (not stored)"), RegionKind.ABSENT: _("nothing")}[kind]


def _looks(kind: RegionKind) -> dict[str, Any]:
    if kind is RegionKind.DATA:
        return {"facecolor": style.HOST, "edgecolor": style.HOST_GROUND, "hatch": GIVEN_HATCH}
    return {"facecolor": ZERO, "edgecolor": style.QUIET, "hatch": ZERO_HATCH}


@drawn
def draw_blocks(disk: DiskFacts, regions: Sequence[Region], offsets: Sequence[int], ax: Axes | None = None) -> Drawing:
    """Draw bytes of the guest's disk, and below them where they are in the host's file.

    Args:
        disk: `disk.facts`. regions: `disk.map()`. offsets: bytes as the guest counts; one to four of them.
    """
    places = [(offset, _place(regions, offset)) for offset in sorted(offsets)]
    ends = [found + 1 for _offset, found in places if found is not None]
    length = max([disk.active.length, *ends])
    name = posixpath.basename(disk.active.files[-1])

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-1.15, 2.7)
        axes.barh(1.5, 1, height=0.36, facecolor=style.GUEST_GROUND, edgecolor=style.GUEST, linewidth=1.2)
        axes.barh(0.2, 1, height=0.36, facecolor=style.HOST_GROUND, edgecolor=style.HOST, linewidth=1.2)
        seen = _("the guest's disk {target}: {capacity}").format(
            target=disk.target or disk.name, capacity=format_size(disk.capacity)
        )
        axes.text(0, 2.52, seen, color=style.GUEST, weight="bold", va="center", size=style.TEXT)
        kept = _("the host's file {name}: {length}").format(name=name, length=format_size(disk.active.length))
        axes.text(0, -0.98, kept, color=style.HOST, weight="bold", va="center", size=style.TEXT)
        upper, lower = _Labels(), _Labels()
        for offset, place in places:
            above = offset / disk.capacity
            axes.plot([above, above], [1.32, 1.68], color=style.GUEST, linewidth=3, solid_capstyle="butt")
            axes.text(above, 1.72 + upper.lift(above), f"{offset}", va="bottom", **_look(above))
            if place is None:
                axes.text(above, 1.1, _("nothing yet"), va="center", **_look(above))
                continue
            below = place / length
            axes.plot([below, below], [0.02, 0.38], color=style.HOST, linewidth=3, solid_capstyle="butt")
            arrow = {"arrowstyle": "->", "color": style.INK, "linewidth": 1.4}
            axes.annotate("", (below, 0.42), (above, 1.28), arrowprops=arrow)
            axes.text(below, -0.04 - lower.lift(below), f"{place}", va="top", **_look(below))

    twin = "\n".join(_place_words(offset, place, name) for offset, place in places)
    return Drawing(draw, twin, height=3.1, ax=ax)


def _place(regions: Sequence[Region], offset: int) -> int | None:
    region = find_region(regions, offset)
    if region is None or region.kind is not RegionKind.DATA or region.offset is None:
        return None
    return region.offset + offset - region.start


def _place_words(offset: int, place: int | None, name: str) -> str:
    if place is None:
        return _("byte {offset} of the guest → nothing yet").format(offset=offset)
    if place == offset:
        return _("byte {offset} of the guest → the same byte of {name}").format(offset=offset, name=name)
    return _("byte {offset} of the guest → another byte of {name}").format(offset=offset, name=name)


def _look(x: float) -> dict[str, Any]:
    side = "left" if x < 0.06 else "right" if x > 0.94 else "center"
    return {"ha": side, "size": style.SMALL, "color": style.INK}


class _Labels:
    """Lifts a label if it would touch the one beside it."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, int]] = []

    def lift(self, x: float) -> float:
        """Return how far a label at `x` (0 to 1) is lifted, in units of the axes."""
        near = {level for other, level in self._taken if abs(other - x) < LABEL_WIDTH}
        level = next(level for level in range(len(near) + 1) if level not in near)
        self._taken.append((x, level))
        return 0.27 * level
