"""Drawings of disks by size: capacity, file length, allocated; and the formats as measured here.

Knows: disks as values. Must not know: how sizes were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.kinds import GIVEN_HATCH, LENGTH, kind_word, legend
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.measurement import FormatRow
from labkit.model.words import allocation_word
from labkit.units import MIB, decimal, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 0.26


@drawn
def draw_sizes(disks: Iterable[DiskFacts], ax: Axes | None = None) -> Drawing:
    """Draw the three sizes of disks as bars, one group for each disk.

    Args:
        disks: in order, one or more; `disk.facts`.
    """
    shown = list(disks)
    kinds = [allocation_word(disk.base) for disk in shown]
    top = max(max(disk.capacity, disk.length, disk.allocated) for disk in shown) / MIB

    def draw(axes: Axes) -> None:
        looks: tuple[tuple[str, dict[str, Any]], ...] = (
            (_("capacity, as the guest sees"), {"facecolor": style.GROUND, "edgecolor": style.GUEST}),
            (_("file length"), {"facecolor": LENGTH, "edgecolor": style.HOST}),
            (
                _("allocated by the host"),
                {"facecolor": style.HOST, "edgecolor": style.HOST_GROUND, "hatch": GIVEN_HATCH},
            ),
        )
        for row, disk in enumerate(shown):
            sizes = (disk.capacity, disk.length, disk.allocated)
            for place, (size, (label, look)) in enumerate(zip(sizes, looks, strict=True)):
                y = row + (place - 1) * _BAR
                axes.barh(y, size / MIB, height=_BAR * 0.86, linewidth=1.2, label=None if row else label, **look)
                axes.text(size / MIB + top / 90, y, format_size(size), va="center", size=style.SMALL, color=style.INK)
        names = [f"{disk.name}\n{disk.format}, {kind}" for disk, kind in zip(shown, kinds, strict=True)]
        axes.set_yticks(range(len(shown)), names, size=style.TEXT, color=style.INK)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, top * 1.16)
        axes.set_xlabel("MiB", size=style.SMALL, color=style.QUIET)
        legend(axes)

    twin = "\n".join(_sizes_line(disk, kind) for disk, kind in zip(shown, kinds, strict=True))
    return Drawing(draw, twin, height=1.0 + 0.85 * len(shown), ax=ax)


def given_words(disk: DiskFacts) -> str:
    """Return in words how much of its capacity the host gave a disk, so coarsely that it is the same on every host."""
    part = disk.allocated / disk.capacity
    if part < 0.1:
        return _("the host gave less than a tenth of it")
    if part >= 0.99:
        return _("the host gave all of it")
    return _("the host gave a part of it")


def _sizes_line(disk: DiskFacts, kind: str) -> str:
    return _("{name} ({format}, {kind}): capacity {capacity}; {given}").format(
        name=disk.name,
        format=disk.format,
        kind=kind,
        capacity=format_size(disk.capacity),
        given=given_words(disk),
    )


@drawn
def draw_formats(rows: Sequence[FormatRow], ax: Axes | None = None) -> Drawing:
    """Draw the formats as a table of what was measured: sizes of an empty disk, time to create it, whether it boots."""
    heads = ("", _("capacity"), _("file length"), _("allocated"), _("created in"), _("boots"))
    cells = [
        (
            f"{row.format}, {kind_word(row.allocation)}",
            _capacity_words(row),
            _length_words(row),
            format_size(row.allocated),
            _("{seconds} s").format(seconds=decimal(f"{row.seconds:.2f}")),
            _boots_sign(row.boots),
        )
        for row in rows
    ]
    edges = (0.01, 0.18, 0.335, 0.58, 0.77, 0.9)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(cells) + 0.1, -1)
        for x, head in zip(edges, heads, strict=True):
            axes.text(x, -0.5, head, va="center", weight="bold", color=style.QUIET, size=style.SMALL)
        for y, line in enumerate(cells):
            if y % 2 == 0:
                axes.axhspan(y, y + 1, color=style.HOST_GROUND, linewidth=0)
            for x, text in zip(edges, line, strict=True):
                axes.text(x, y + 0.5, text, va="center", color=style.INK, size=style.SMALL)

    twin = "\n".join(_format_line(row) for row in rows)
    return Drawing(draw, twin, height=0.5 + 0.31 * len(rows), ax=ax)


def _format_line(row: FormatRow) -> str:
    """Return a row in words, so coarsely that it is the same on every host."""
    given = _("all of it given") if row.allocated >= 0.99 * row.capacity else _("not all of it given")
    return f"{row.format}, {kind_word(row.allocation)}: {given}; {_boots_words(row.boots)}"


def _length_words(row: FormatRow) -> str:
    more = row.length - row.capacity
    if more < 0:
        return format_size(row.length)
    return _("capacity + {size}").format(size=format_size(more)) if more else _("the capacity")


def _capacity_words(row: FormatRow) -> str:
    """Return a capacity in MiB; VHD rounds it up to whole cylinders, so that what is over is told apart."""
    whole, over = row.capacity // MIB * MIB, row.capacity % MIB
    return f"{format_size(whole)} + {format_size(over)}" if over else format_size(whole)


def _boots_sign(boots: bool | None) -> str:
    return {True: "✓ " + _("yes"), False: "✗ " + _("no"), None: "– " + _("not here")}[boots]


def _boots_words(boots: bool | None) -> str:
    words = {
        True: _("a machine boots from it"),
        False: _("a machine does not boot from it"),
        None: _("no machine can use it here"),
    }
    return words[boots]
