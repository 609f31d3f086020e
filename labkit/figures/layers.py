"""Drawing of layers: which image of a disk serves which part of what the guest sees.

Each disk is one strip, as the guest sees it. The shade shows the layer, from the base (pale) to the active image
(strong), and so does the number in it.
Knows: disks and their maps as values. Must not know: how a map is read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.maps import LEAST
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.regions import Region, RegionKind
from labkit.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES: Final = ("#FBEBDD", "#F6C9A6", "#EDA468", "#E1802F", "#D55E00")
"""The colours from the base to the active image: the host's, the paler the deeper the layer."""

NUMBERED: Final = 0.035
"""From this part of the width on, a stretch has room for its layer's number."""

Mapped = tuple[DiskFacts, Sequence[Region]]
"""A disk and its map: `disk.facts`, `disk.map()`."""


@drawn
def draw_layers(disks: Iterable[Mapped], ax: Axes | None = None) -> Drawing:
    """Draw each disk as the guest sees it, in the shades of the layers that serve it.

    Args:
        disks: one or more, each with its map: `(disk.facts, disk.map())`.
    """
    shown = list(disks)
    rows: list[float] = []
    height = 0.0
    for disk, _regions in shown:
        rows.append(height)
        height += 1.55 + 0.42 * len(disk.layers)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(height - 0.6, -0.8)
        for top, (disk, regions) in zip(rows, shown, strict=True):
            _draw_strip(axes, top, disk, regions)

    return Drawing(draw, "\n".join(layer_words(disk, regions) for disk, regions in shown), height=0.44 * height, ax=ax)


def layer_words(disk: DiskFacts, regions: Sequence[Region]) -> str:
    """Return in words which layers serve something, without sizes, which differ between hosts."""
    serving = {region.layer for region in regions if region.kind is not RegionKind.ABSENT}
    lines = [_("{name}, {capacity}:").format(name=disk.name, capacity=format_size(disk.capacity))]
    for number in range(len(disk.layers)):
        words = _("serves a part") if number in serving else _("serves nothing")
        lines.append(f"  {_name(disk, number)}: {words}")
    return "\n".join(lines)


def _draw_strip(axes: Axes, top: float, disk: DiskFacts, regions: Sequence[Region]) -> None:
    count = len(disk.layers)
    head = _("{target} as the guest sees it, {capacity}").format(
        target=disk.target or disk.name, capacity=format_size(disk.capacity)
    )
    axes.text(0, top - 0.5, head, va="center", weight="bold", size=style.TEXT, color=style.GUEST)
    axes.barh(top + 0.1, 1, height=0.62, facecolor=style.GROUND, edgecolor=style.GUEST, linewidth=1.2)
    for region in sorted(regions, key=lambda region: region.layer is None or -region.layer):
        if region.layer is None:
            continue
        width = max(region.length / disk.capacity, LEAST)
        left = min(region.start / disk.capacity, 1 - width)
        number = count - 1 - region.layer
        axes.barh(
            top + 0.1,
            width,
            left=left,
            height=0.62,
            facecolor=_shade(number, count),
            edgecolor=style.HOST,
            linewidth=0.6,
        )
        if width >= NUMBERED:
            axes.text(left + width / 2, top + 0.12, f"{number}", ha="center", va="center", size=style.SMALL)
    for layer in range(count):
        y = top + 0.78 + 0.42 * layer
        number = count - 1 - layer
        served = sum(region.length for region in regions if region.layer == layer)
        axes.barh(y, 0.03, height=0.3, facecolor=_shade(number, count), edgecolor=style.HOST, linewidth=0.8)
        words = _("{number}  {file}: serves {size}").format(
            number=number, file=_name(disk, layer), size=format_size(served)
        )
        axes.text(0.042, y, words, va="center", size=style.SMALL, color=style.INK)


def _shade(number: int, count: int) -> str:
    return SHADES[-1] if count == 1 else SHADES[round(number * (len(SHADES) - 1) / (count - 1))]


def _name(disk: DiskFacts, layer: int) -> str:
    name = posixpath.basename(disk.layers[layer].path)
    return _("{file} (active)").format(file=name) if layer == 0 else name
