"""Drawings of snapshots: what they show, that nothing touches, that they are the same every time, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.layers import draw_layers
from labkit.figures.layout import cut
from labkit.figures.snapshots import draw_before_after, draw_tree
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineFacts, MachineSpec, MachineState, Reason
from labkit.model.regions import Region, RegionKind
from labkit.model.snapshot import SnapshotFacts, SnapshotKind, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.model.tree_layout import HERE, arrange, find_way, tree_graph
from labkit.plans.effect import tree_after
from labkit.plans.snapshot import SnapshotSurvey, plan_delete, plan_relabel, plan_restore, plan_take
from labkit.plans.snapshot.costs import find_costs
from labkit.units import GIB, MIB

SURVEY = SnapshotSurvey(free_bytes=GIB)


def spec(path: str = "/lab/disks/web.vda.0.qcow2") -> MachineSpec:
    disk = DiskSpec(name="web.vda", target="vda", path=path, format=Format.QCOW2)
    return MachineSpec(
        name="web", lab="t", lab_id="1", id="2", memory=128 * MIB, vcpus=1, image="tiny", boot=Boot(),
        disks=(disk,), accelerator=Accelerator.TCG,
    )  # fmt: skip


def image(number: int, *, on: int | None = None, allocated: int = MIB) -> ImageFacts:
    path = f"/lab/disks/web.vda.{number}.qcow2"
    return ImageFacts(
        path=path, format=Format.QCOW2, capacity=64 * MIB, length=allocated, allocated=allocated,
        allocation=Allocation.DYNAMIC, files=(path,),
        backing=None if on is None else f"/lab/disks/web.vda.{on}.qcow2",
    )  # fmt: skip


def grow(parents: list[int | None], current: str | None) -> SnapshotTree:
    """A tree of snapshots named s0, s1 …, each after the one at the index that is given."""
    kinds = list(SnapshotKind)
    nodes = {
        f"s{number}": SnapshotFacts(
            name=f"s{number}", description="", parent=None if parent is None else f"s{parent}", created=number,
            kind=kinds[number % 4], spec=spec(f"/lab/disks/web.vda.{number}.qcow2"),
        )
        for number, parent in enumerate(parents)
    }  # fmt: skip
    return SnapshotTree(nodes=sort_nodes(nodes), current=current)


def bushy(count: int) -> SnapshotTree:
    return grow([None, *[number * 7919 % number if number % 3 else number - 1 for number in range(1, count)]], "s2")


LONG = SnapshotTree(
    nodes={
        "n" * 60: SnapshotFacts(
            name="n" * 60, description="", parent=None, created=1, kind=SnapshotKind.DISK_ONLY, spec=spec()
        )
    },
    current="n" * 60,
)
THREE = grow([None, 0, 0], "s0")
STATE = LabState(
    lab="t",
    lab_id="1",
    home="/lab",
    machines={
        "web": MachineFacts(
            spec=spec("/lab/disks/web.vda.3.qcow2"), live=None, state=MachineState.OFF, reason=Reason.SHUT_DOWN
        )
    },
    snapshots={"web": THREE},
    images={each.path: each for each in (image(0), image(1, on=0, allocated=5 * MIB), image(2, on=0), image(3, on=0))},
)
DISK = DiskFacts(name="web.vda", layers=(image(3, on=0), image(0)), machine="web", target="vda")
MAP = (
    Region(start=0, length=8 * MIB, kind=RegionKind.DATA, layer=1),
    Region(start=8 * MIB, length=64 * 1024, kind=RegionKind.DATA, layer=0),
    Region(start=8 * MIB + 64 * 1024, length=56 * MIB - 64 * 1024, kind=RegionKind.ABSENT),
)

Draw = Callable[[Axes | None], Drawing]
ALL: dict[str, Draw] = {
    "empty": lambda ax: draw_tree(SnapshotTree(), ax),
    "three": lambda ax: draw_tree(THREE, ax, costs={"s0": MIB}, notes={"s1": "login:"}),
    "three-large": lambda ax: draw_tree(THREE, ax, large=True),
    "sixty": lambda ax: draw_tree(bushy(60), ax),
    "sixty-large": lambda ax: draw_tree(bushy(60), ax, costs=dict.fromkeys(bushy(60), MIB), large=True),
    "said": lambda ax: draw_tree(
        SnapshotTree(nodes={name: replace(node, said="x y " * 25) for name, node in THREE.nodes.items()}), ax
    ),
    "long-name": lambda ax: draw_tree(LONG, ax, large=True),
    "before-after": lambda ax: draw_before_after(STATE, plan_delete(STATE, SURVEY, "web", "s0"), ax),
    "refused": lambda ax: draw_before_after(STATE, plan_take(STATE, SURVEY, "web", "s1", ""), ax),
    "refused-large": lambda ax: draw_before_after(STATE, plan_take(STATE, SURVEY, "web", "s1", ""), ax, large=True),
    "layers": lambda ax: draw_layers([(DISK, MAP), (DISK, MAP)], ax),
}


def texts_of(drawing: Drawing) -> list[str]:
    return [text.get_text() for text in drawing._ax.texts]


@pytest.mark.parametrize("name", ALL)
def test_same_values_give_the_same_bytes(name: str) -> None:
    assert ALL[name](None).to_png() == ALL[name](None).to_png()


@pytest.mark.parametrize("name", ALL)
def test_axes_that_are_given_are_drawn_on(name: str) -> None:
    axes = Figure().add_subplot()
    ALL[name](axes)
    assert axes.texts


@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_the_picture_or_touches_another(name: str) -> None:
    axes = ALL[name](None)._ax
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    for box, text in zip(boxes, axes.texts, strict=True):
        assert box.x0 >= -1, text
        assert box.y0 >= -2, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 2, text
    assert not [one for one, other in combinations(boxes, 2) if one.padded(-2).overlaps(other.padded(-2))]


def test_for_a_projector_letters_have_18_points_on_1280_by_720() -> None:
    for count in (3, 12, 60):
        axes = draw_tree(bushy(count), large=True)._ax
        figure = axes.get_figure(root=True)
        assert figure is not None
        assert [round(side * style.DOTS) for side in figure.get_size_inches()] == [1280, 720]
        assert min(float(text.get_fontsize()) for text in axes.texts) >= 18


def test_kind_is_told_by_mark_and_word_and_the_place_by_a_word() -> None:
    texts = texts_of(draw_tree(THREE))
    assert texts == ["s0 · off", "s1 · running", "s2 · paused", "you are here"]


def test_cost_and_notes_stand_beside_the_point() -> None:
    assert texts_of(draw_tree(THREE, costs={"s1": 3 * MIB}, notes={"s1": "login:"}))[1] == (
        "s1 · running · frees 3 MiB · login:"
    )


def test_twin_is_the_tree_as_text() -> None:
    assert repr(draw_tree(THREE, costs={"s1": MIB})) == THREE.text()
    assert "you are here" in THREE.text()


def test_last_line_on_the_console_stands_beside_the_point_and_in_the_twin_cut_where_it_is_too_long() -> None:
    short = SnapshotTree(nodes={**THREE.nodes, "s1": replace(THREE["s1"], said="root@web:~# 1 2 3")}, current="s0")
    assert texts_of(draw_tree(short))[1] == "s1 · running · “root@web:~# 1 2 3”"
    assert "s1 (running) “root@web:~# 1 2 3”" in repr(draw_tree(short))
    assert "root" not in repr(draw_tree(short, notes={}))
    long = SnapshotTree(nodes={**THREE.nodes, "s1": replace(THREE["s1"], said="x" * 90)}, current="s0")
    label = texts_of(draw_tree(long))[1]
    assert label.startswith("s1 · running · “xxx")
    assert label.endswith("x…")
    assert "x" * 90 in repr(draw_tree(long))


def test_every_point_has_a_row_of_its_own_in_the_order_of_the_twin() -> None:
    tree = bushy(60)
    places = arrange(tree_graph(tree))
    assert sorted(row for row, _lane in places.values()) == list(range(61))
    named = [line.split("─ ")[-1].split(" (")[0] for line in tree.text().splitlines()]
    drawn = sorted(places, key=lambda node: places[node])
    assert [HERE if "you are here" in name else name for name in named] == drawn


def test_siblings_lie_in_one_lane_and_an_only_child_straight_below() -> None:
    places = arrange(tree_graph(THREE))
    assert places == {"s0": (0, 0), "s1": (1, 1), "s2": (2, 1), HERE: (3, 1)}


def test_line_that_is_cut_goes_on_at_the_top_of_the_next_column() -> None:
    pieces = list(cut(find_way((1, 0), (9, 1)), 4))
    assert [column for column, _piece in pieces] == [0, 1, 2]
    assert pieces[0][1] == [(0, 1), (0, 3.5)]
    assert pieces[1][1] == [(0, -0.5), (0, 3.5)]
    assert pieces[2][1][-1] == (1, 1)


def test_thousand_snapshots_are_laid_out_and_drawn_within_two_seconds() -> None:
    tree = bushy(1000)
    draw_tree(THREE).to_png()
    before = time.thread_time()
    draw_tree(tree).to_png()
    assert time.thread_time() - before < 2


# --- plans --------------------------------------------------------------------------------------


def test_take_adds_a_point_and_moves_the_place_behind_it() -> None:
    after = tree_after(STATE, plan_take(STATE, SURVEY, "web", "new", ""))
    assert (after.current, after["new"].parent, after["new"].kind) == ("new", "s0", SnapshotKind.OFF)
    assert set(after) == {*THREE, "new"}


def test_restore_only_moves_the_place() -> None:
    after = tree_after(STATE, plan_restore(STATE, SURVEY, "web", "s2", memory=False))
    assert (dict(after.nodes), after.current) == (dict(THREE.nodes), "s2")


def test_restore_that_saves_first_adds_a_point_and_moves_the_place() -> None:
    after = tree_after(STATE, plan_restore(STATE, SURVEY, "web", "s2", save_current="kept", memory=False))
    assert (after["kept"].parent, after.current) == ("s0", "s2")


def test_delete_hands_the_children_and_the_place_to_the_parent() -> None:
    after = tree_after(STATE, plan_delete(STATE, SURVEY, "web", "s0"))
    assert (list(after), after.current) == (["s1", "s2"], None)
    assert after["s1"].parent is None


def test_rename_keeps_the_shape() -> None:
    after = tree_after(STATE, plan_relabel(STATE, "web", "s0", new="root"))
    assert (after.current, after["s1"].parent) == ("root", "root")


def test_refused_plan_changes_nothing() -> None:
    assert tree_after(STATE, plan_delete(STATE, SURVEY, "web", "nothing")) == THREE


def test_before_and_after_say_what_comes_and_goes() -> None:
    taken = texts_of(draw_before_after(STATE, plan_take(STATE, SURVEY, "web", "more", "")))
    assert "more · new · off" in taken
    deleted = texts_of(draw_before_after(STATE, plan_delete(STATE, SURVEY, "web", "s1")))
    assert "s1 · goes · running" in deleted
    assert "take web@more" in repr(draw_before_after(STATE, plan_take(STATE, SURVEY, "web", "more", "")))


def test_refused_plan_shows_the_reason_in_place_of_a_tree() -> None:
    refused = draw_before_after(STATE, plan_take(STATE, SURVEY, "web", "s1", ""))
    assert "take web@s1:\nrefused: " in repr(refused)
    assert sum(text == "you are here" for text in texts_of(refused)) == 1


def test_cost_of_a_snapshot_is_what_its_plan_frees() -> None:
    assert find_costs(STATE, SURVEY, "web") == {"s0": 0, "s1": 5 * MIB, "s2": MIB}


def test_layers_say_which_of_them_serve_something() -> None:
    assert repr(draw_layers([(DISK, MAP)])) == (
        "web.vda, 64 MiB:\n  web.vda.3.qcow2 (active): serves a part\n  web.vda.0.qcow2: serves a part"
    )
