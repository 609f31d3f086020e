"""Drawings of disks: the same every time, their twins free of what is measured, their text in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.cost import draw_cost
from labkit.figures.disks import draw_formats, draw_sizes
from labkit.figures.drawing import Drawing
from labkit.figures.growth import draw_growth, draw_throughput
from labkit.figures.maps import draw_blocks, draw_map
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.measurement import FormatRow, GrowthSample, Timing, is_slower, rates
from labkit.model.regions import Region, RegionKind
from labkit.units import GIB, KIB, MIB

Draw = Callable[[Axes | None], Drawing]


def image(number: int, *, allocated: int, capacity: int = 64 * MIB) -> ImageFacts:
    path = f"/lab/disks/data.{number}.qcow2"
    return ImageFacts(
        path=path,
        format=Format.QCOW2,
        capacity=capacity,
        length=allocated + 4096,
        allocated=allocated,
        allocation=Allocation.DYNAMIC,
        files=(path,),
    )


DISK = DiskFacts(name="data", layers=(image(1, allocated=196 * KIB), image(0, allocated=3 * MIB)))
MAP = (
    Region(start=0, length=2 * MIB, kind=RegionKind.DATA, layer=1, path="/lab/disks/data.0.qcow2", offset=327680),
    Region(
        start=2 * MIB, length=64 * KIB, kind=RegionKind.DATA, layer=0, path="/lab/disks/data.1.qcow2", offset=393216
    ),
    Region(start=2 * MIB + 64 * KIB, length=62 * MIB - 64 * KIB, kind=RegionKind.ABSENT),
)
SAMPLES = tuple(
    GrowthSample(
        seconds=number / 4,
        allocated=number * MIB,
        length=number * MIB,
        writes=25 * number,
        written_bytes=number * MIB,
    )
    for number in range(20)
)
TIMINGS = (
    Timing(slug="fixed", first=(0.31, 0.35), again=(0.30, 0.36)),
    Timing(slug="dynamic", first=(1.1, 1.3), again=(0.3, 0.4)),
)
ROWS = (
    FormatRow(
        format=Format.VHD, allocation=Allocation.FIXED, capacity=67125248, length=67125760, allocated=67125760,
        seconds=0.2, boots=True,
    ),
    FormatRow(
        format=Format.VHDX, allocation=Allocation.DYNAMIC, capacity=64 * MIB, length=4 * MIB, allocated=MIB,
        seconds=0.1,
    ),
)  # fmt: skip

ALL: dict[str, Draw] = {
    "sizes": lambda ax: draw_sizes([DISK], ax),
    "map": lambda ax: draw_map(DISK, MAP, ax),
    "blocks": lambda ax: draw_blocks(DISK, MAP, [0, 2 * MIB, 40 * MIB], ax),
    "growth": lambda ax: draw_growth(SAMPLES, 64 * MIB, marks={"dd": 0.5, "rm": 3}, ax=ax),
    "throughput": lambda ax: draw_throughput(SAMPLES, iops=100, marks={"throttle": 2}, ax=ax),
    "cost": lambda ax: draw_cost(TIMINGS, ax),
    "formats": lambda ax: draw_formats(ROWS, ax),
}


@pytest.mark.parametrize("name", ALL)
def test_same_values_give_the_same_bytes(name: str) -> None:
    assert ALL[name](None).to_png() == ALL[name](None).to_png()


@pytest.mark.parametrize("name", ALL)
def test_axes_that_are_given_are_drawn_on(name: str) -> None:
    axes = Figure().add_subplot()
    ALL[name](axes)
    assert axes.has_data() or axes.texts


@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_the_picture(name: str) -> None:
    axes = ALL[name](None)._ax
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    legend = axes.get_legend()
    ticks = axes.get_yticklabels() if axes.axison else []
    for text in [*axes.texts, *ticks, *(legend.get_texts() if legend else [])]:
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text


def test_twin_of_sizes_is_the_same_where_hosts_allocate_a_little_differently() -> None:
    other = replace(DISK, layers=tuple(replace(layer, allocated=layer.allocated + 4096) for layer in DISK.layers))
    assert repr(draw_sizes([DISK])) == repr(draw_sizes([other]))
    assert "less than a tenth" in repr(draw_sizes([DISK]))


def test_twin_of_blocks_says_whether_the_place_is_the_same() -> None:
    raw = (Region(start=0, length=64 * MIB, kind=RegionKind.DATA, layer=0, path="/lab/disks/data.0.raw", offset=0),)
    assert "the same byte" in repr(draw_blocks(DISK, raw, [2 * MIB]))
    twin = repr(draw_blocks(DISK, MAP, [2 * MIB, 40 * MIB]))
    assert "byte 2097152 of the guest → another byte" in twin
    assert "byte 41943040 of the guest → nothing yet" in twin


def test_twin_of_a_map_names_what_each_layer_holds() -> None:
    assert repr(draw_map(DISK, MAP)) == "data, 64 MiB:\n  data.1.qcow2: data\n  data.0.qcow2: data"


def test_spreads_that_overlap_are_not_told_apart() -> None:
    fixed, dynamic = TIMINGS
    assert not fixed.first_costs_more
    assert dynamic.first_costs_more
    assert not is_slower([], [1.0])


def test_twins_of_growth_tell_the_direction() -> None:
    grew, shrank = draw_growth(SAMPLES, 64 * MIB), draw_growth(SAMPLES[::-1], 64 * MIB)
    still, both = draw_growth(SAMPLES[:2], GIB), draw_growth([*SAMPLES, SAMPLES[0]], 64 * MIB)
    assert len({repr(grew), repr(shrank), repr(still), repr(both)}) == 4


def test_rates_are_taken_over_stretches() -> None:
    found = rates(SAMPLES)
    assert all(rate.writes == pytest.approx(100) for rate in found)
    assert found[0].start == 0
    assert rates(()) == ()


def test_twin_of_formats_says_whether_all_was_given() -> None:
    hollow = replace(ROWS[0], allocated=8 * KIB)
    assert repr(draw_formats(ROWS)).splitlines()[0] == "vhd, fixed: all of it given; a machine boots from it"
    assert "not all of it given" in repr(draw_formats([hollow]))


def test_a_full_disk_of_a_format_without_a_mark_is_called_as_it_was_made() -> None:
    full = replace(image(0, allocated=64 * MIB), allocation=Allocation.FIXED)
    disk = replace(DISK, layers=(full,))
    assert "(qcow2, fixed)" in repr(draw_sizes([disk]))
    unknown = replace(full, tells=False)
    assert "(qcow2, full)" in repr(draw_sizes([replace(DISK, layers=(unknown,))]))
    known = unknown.made(Allocation.DYNAMIC)
    assert "(qcow2, dynamic)" in repr(draw_sizes([replace(DISK, layers=(known,))]))


def test_twin_of_throughput_says_whether_the_guest_kept_to_its_limit() -> None:
    assert "was limited to 100 requests" in repr(draw_throughput(SAMPLES, iops=100))
    assert "was faster than its limit" in repr(draw_throughput(SAMPLES, iops=50))
    assert "did nothing" in repr(draw_throughput(SAMPLES[:1], iops=50))


def test_two_drawings_of_cost_can_have_one_scale() -> None:
    short, long = (draw_cost(TIMINGS[:1], until=until)._ax.get_xlim()[1] for until in (0, 1.3))
    assert long == draw_cost(TIMINGS)._ax.get_xlim()[1] > short
