"""Drawings of a disk over time: how much the host gave while the guest wrote, and how fast it was written.

Knows: samples. Must not know: who took them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.figures.kinds import legend
from labkit.language import _
from labkit.model.limit_check import LimitCheck
from labkit.model.measurement import GrowthSample, rates
from labkit.units import MIB, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawn
def draw_growth(
    samples: Sequence[GrowthSample], capacity: int, *, marks: Mapping[str, float] | None = None, ax: Axes | None = None
) -> Drawing:
    """Draw how much the host gave a disk while its guest wrote, with its capacity as the ceiling.

    Args:
        samples: in order, one or more. capacity: bytes.
        marks: what was done, in words, with the seconds after which it was done.
    """
    end = max(samples[-1].seconds, 0.1) * 1.05  # a little more, so that the last sample can be seen
    times = [*(sample.seconds for sample in samples), end]

    def draw(axes: Axes) -> None:
        given = [sample.allocated / MIB for sample in [*samples, samples[-1]]]
        asked = [sample.written_bytes / MIB for sample in [*samples, samples[-1]]]
        axes.fill_between(times, given, step="post", color=style.HOST_GROUND)
        axes.step(times, given, where="post", color=style.HOST, linewidth=2.4, label=_("allocated by the host"))
        axes.plot(times, asked, color=style.GUEST, linewidth=2, linestyle=":", label=_("written by the guest"))
        axes.axhline(capacity / MIB, color=style.INK, linewidth=1.4, linestyle="--")
        axes.text(
            0, capacity / MIB * 0.98, _("capacity {size}").format(size=format_size(capacity)),
            va="top", size=style.SMALL, color=style.INK,
        )  # fmt: skip  # below its line: above it stand the marks
        axes.set_xlim(0, end)
        axes.set_ylim(0, max(capacity / MIB, *given, *asked) * 1.16)
        mark_times(axes, marks)
        axes.set_xlabel(_("seconds"), size=style.SMALL, color=style.QUIET)
        axes.set_ylabel("MiB", size=style.SMALL, color=style.QUIET)
        legend(axes)

    return Drawing(draw, growth_words(samples, capacity), height=3.4, ax=ax)


def mark_times(axes: Axes, marks: Mapping[str, float] | None) -> None:
    """Write beside dotted lines what was done when; each text is a line lower, so that they do not overlap."""
    top = axes.get_ylim()[1]
    for number, (word, second) in enumerate((marks or {}).items()):
        axes.axvline(second, color=style.QUIET, linewidth=1.2, linestyle=":")
        ground = {"facecolor": style.GROUND, "edgecolor": "none", "pad": 1.0}
        height = top * (0.97 - 0.11 * number)
        axes.text(second, height, f" {word}", va="top", size=style.SMALL, color=style.QUIET, bbox=ground)


def growth_words(samples: Sequence[GrowthSample], capacity: int) -> str:
    """Return in words how a disk grew, so coarsely that it is the same on every host."""
    given = [sample.allocated for sample in samples]
    least = capacity / 10
    grew, shrank = max(given) - given[0] > least, max(given) - given[-1] > least
    if grew and shrank:
        return _("The disk grew while the guest wrote, and gave space back at the end.")
    if grew:
        return _("The disk grew while the guest wrote.")
    return _("The disk gave space back.") if shrank else _("The disk hardly changed its size.")


@drawn
def draw_throughput(
    samples: Sequence[GrowthSample],
    *,
    iops: int = 0,
    bytes_per_second: int = 0,
    marks: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Drawing:
    """Draw how fast a disk was written, over time, and the limit it was given.

    Args:
        samples: in order, one or more. iops: the limit in requests a second; bytes_per_second: or in bytes; 0: none.
        marks: what was done, in words, with the seconds after which it was done; the limit counts from the last one on.
    """
    shown = rates(samples)

    def draw(axes: Axes) -> None:
        limit = iops or bytes_per_second / MIB
        values = [rate.writes if iops else rate.written_bytes / MIB for rate in shown]
        edges = [*(rate.start for rate in shown), shown[-1].end if shown else 1.0]
        axes.stairs(values, edges, fill=True, facecolor=style.GUEST_GROUND, edgecolor=style.GUEST, linewidth=2)
        top = max([*values, limit, 1e-6]) * 1.25
        axes.axhline(limit, color=style.INK, linewidth=1.4, linestyle="--")
        axes.text(edges[-1], limit, _("the limit"), ha="right", va="bottom", size=style.SMALL, color=style.INK)
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(0, top)
        mark_times(axes, marks)
        axes.set_xlabel(_("seconds"), size=style.SMALL, color=style.QUIET)
        unit = _("writes a second") if iops else _("MiB a second")
        axes.set_ylabel(unit, size=style.SMALL, color=style.QUIET)

    begin = max((marks or {}).values(), default=0.0)
    held = [sample for sample in samples if sample.seconds >= begin] or [samples[-1]]
    return Drawing(draw, _limit_words(held[0], held[-1], iops, bytes_per_second), height=3.0, ax=ax)


def _limit_words(first: GrowthSample, last: GrowthSample, iops: int, bytes_per_second: int) -> str:
    """Return in words whether the guest was held to its limit between two samples."""
    done = last.writes - first.writes if iops else last.written_bytes - first.written_bytes
    seconds = last.seconds - first.seconds
    return repr(LimitCheck(iops=iops, bytes_per_second=bytes_per_second, done=done, seconds=seconds))
