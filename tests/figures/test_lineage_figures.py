"""Drawings of the lineage and of diverging clones: what they say, that nothing touches, that they are the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures import style
from labkit.figures.divergence import draw_divergence
from labkit.figures.drawing import Drawing
from labkit.figures.lineage import draw_lineage, draw_lineage_change
from labkit.language import set_language
from labkit.model.lineage import Lineage, read_lineage
from labkit.model.measurement import DivergenceSample
from labkit.model.points import find_points, points_graph
from labkit.model.state import LabState
from labkit.plans.clone import plan_clone
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, NewClone
from labkit.plans.flatten import FlattenSurvey, plan_flatten
from labkit.plans.machine import plan_delete
from labkit.plans.plan import Plan
from labkit.units import GIB, KIB, MIB
from tests.figures.lineages import Builder, busy, classroom, small

SMALL, CLASS, BUSY = (builder.state for builder in (small(), classroom(), busy()))
LONG = Builder().machine("n" * 60).take("n" * 60, "s" * 60).machine("c" * 60, on=f"{'n' * 60}@{'s' * 60}").state


def clone(state: LabState, *names: str, kind: CloneKind = CloneKind.LINKED, snapshot: str | None = None) -> Plan:
    """The plan of clones of web."""
    clones = tuple(NewClone(name=name, id=name, genid=name) for name in names)
    request = CloneRequest(machine="web", clones=clones, kind=kind, snapshot=snapshot, many=len(clones) > 1)
    return plan_clone(state, CloneSurvey(free_bytes=GIB, host_memory=100 * GIB), request)


def flatten(state: LabState, name: str) -> Plan:
    """The plan of flattening a clone."""
    return plan_flatten(state, FlattenSurvey(free_bytes=GIB), name)


def of(state: LabState) -> Lineage:
    return read_lineage(state)


SEATS = [f"seat-{number:02}" for number in range(1, 21)]


def diverging(full: list[str], linked: list[str], written: int = 50 * MIB) -> list[DivergenceSample]:
    """Clones that begin to write one after the other."""
    return [
        DivergenceSample(
            seconds=second,
            own=dict.fromkeys(full, 23 * MIB + written * (second > 2))
            | {name: 196 * KIB + written * (second > 2 + place) for place, name in enumerate(linked)},
            shared=20 * MIB,
        )
        for second in range(30)
    ]


Draw = Callable[[Axes | None], Drawing]
LINEAGES: dict[str, Draw] = {
    "empty": lambda ax: draw_lineage(of(LabState(lab="t", lab_id="1", home="/lab")), ax=ax),
    "small": lambda ax: draw_lineage(of(SMALL), ax=ax),
    "small-large": lambda ax: draw_lineage(of(SMALL), "web@clean", ax, large=True),
    "class": lambda ax: draw_lineage(of(CLASS), "web@clean", ax),
    "class-large": lambda ax: draw_lineage(of(CLASS), "web@clean", ax, large=True),
    "class-each": lambda ax: draw_lineage(of(CLASS), ax=ax, grouped=False),
    "sixty": lambda ax: draw_lineage(of(BUSY), "a-server@state-0", ax),
    "sixty-large": lambda ax: draw_lineage(of(BUSY), "b-server@state-1", ax, large=True),
    "long-names": lambda ax: draw_lineage(of(LONG), ax=ax, large=True),
    "clones": lambda ax: draw_lineage_change(SMALL, clone(SMALL, *SEATS, snapshot="clean"), ax),
    "clones-large": lambda ax: draw_lineage_change(SMALL, clone(SMALL, *SEATS, snapshot="clean"), ax, large=True),
    "flatten": lambda ax: draw_lineage_change(CLASS, flatten(CLASS, "seat-03"), ax),
    "refused": lambda ax: draw_lineage_change(SMALL, plan_delete(SMALL, "web"), ax),
}
ALL: dict[str, Draw] = LINEAGES | {
    "divergence": lambda ax: draw_divergence(diverging(["copy"], ["link"]), ["link"], ax=ax),
    "divergence-class": lambda ax: draw_divergence(diverging(["copy"], SEATS), SEATS, ax=ax),
}


def texts_of(drawing: Drawing) -> list[str]:
    return [text.get_text() for text in drawing._ax.texts]


@pytest.mark.parametrize("name", ALL)
def test_same_values_give_the_same_bytes(name: str) -> None:
    assert ALL[name](None).to_png() == ALL[name](None).to_png()


@pytest.mark.parametrize("name", LINEAGES)
def test_axes_that_are_given_are_drawn_on(name: str) -> None:
    axes = Figure().add_subplot()
    LINEAGES[name](axes)
    assert axes.texts


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("name", LINEAGES)
def test_no_text_leaves_the_picture_or_touches_another(name: str, language: str) -> None:
    set_language(language)
    try:
        axes = LINEAGES[name](None)._ax
    finally:
        set_language(None)
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


@pytest.mark.parametrize("state", [SMALL, CLASS, BUSY])
def test_for_a_projector_letters_have_18_points_on_1280_by_720(state: LabState) -> None:
    axes = draw_lineage(of(state), large=True)._ax
    figure = axes.get_figure(root=True)
    assert figure is not None
    assert [round(side * style.DOTS) for side in figure.get_size_inches()] == [1280, 720]
    assert min(float(text.get_fontsize()) for text in axes.texts) >= 18


def test_each_row_says_what_it_is_and_what_it_takes() -> None:
    assert texts_of(draw_lineage(of(SMALL)))[:5] == [
        "copy · machine · 20 MiB",
        "web@clean · off · 20 MiB",
        "web · machine · 3 MiB",
        "link · linked clone · 196 KiB",
        "vmlinuz, initramfs (boot files of all machines)",
    ]


def test_who_depends_on_the_selected_node_is_said_in_words() -> None:
    texts = texts_of(draw_lineage(of(CLASS), "web@clean"))
    assert "web@clean · selected · running · 40 MiB" in texts
    assert [text.split(" · ")[0] for text in texts if "needs it" in text] == [
        "19 × seat-01 … seat-20",
        "seat-07@own",
        "seat-07",
    ]
    with pytest.raises(KeyError):
        draw_lineage(of(CLASS), "nobody")


def test_twin_is_the_tree_and_holds_nothing_measured() -> None:
    assert repr(draw_lineage(of(CLASS), "seat-07@own")) == (
        "web@clean (running)\n"
        "├─ web@later (off)\n"
        "│  └─ web (machine)\n"
        "├┄ seat-01 … seat-20 (19 linked clones)\n"
        "└┄ seat-07@own (off) ← selected\n"
        "   └─ seat-07 (linked clone)\n"
        "data (free disk)\n"
        "vmlinuz, initramfs (boot files of all machines)"
    )
    assert "MiB" not in repr(draw_lineage(of(BUSY)))


def test_graph_goes_from_each_point_to_what_stands_on_it() -> None:
    graph = points_graph(find_points(of(SMALL)))
    edges = {(str(below), str(above)): graph.edges[below, above]["linked"] for below, above in graph.edges}
    assert edges == {("web@clean", "web"): False, ("web@clean", "link"): True}
    assert {str(node): graph.nodes[node]["layer"] for node in graph}["link"] == 1


def test_before_and_after_say_what_comes_goes_and_stands_alone() -> None:
    assert "new · new · machine · 23 MiB" in texts_of(
        draw_lineage_change(SMALL, clone(SMALL, "new", kind=CloneKind.FULL))
    )
    assert "copy · goes · machine · 20 MiB" in texts_of(draw_lineage_change(SMALL, plan_delete(SMALL, "copy")))
    assert "link (machine) ← stands alone now" in repr(draw_lineage_change(SMALL, flatten(SMALL, "link")))
    assert "20 linked clones) ← new" in repr(draw_lineage_change(SMALL, clone(SMALL, *SEATS, snapshot="clean")))


def test_refused_plan_is_drawn_with_its_reason() -> None:
    drawing = draw_lineage_change(SMALL, plan_delete(SMALL, "web"))
    assert repr(drawing).split("delete web:\n")[1].startswith("refused: link stands on the images of web")
    assert any(text.startswith("refused: ") for text in texts_of(drawing))


def test_two_hundred_clones_are_drawn_within_two_seconds() -> None:
    lineage = of(classroom(200).state)
    draw_lineage(of(SMALL)).to_png()
    before = time.thread_time()
    draw_lineage(lineage, "web@clean").to_png()
    assert time.thread_time() - before < 2


def test_twin_of_divergence_tells_verdicts_only() -> None:
    drawing = draw_divergence(diverging(["copy"], SEATS), SEATS)
    assert repr(drawing) == (
        "At first a linked clone has far less of its own than a full one.\n"
        "Linked clones that grew as they wrote: 20 of 20.\n"
        "Full clones that grew as they wrote: 1 of 1.\n"
        "What they share did not grow: only the past is shared."
    )
    still = repr(draw_divergence(diverging([], ["link"], written=0), ["link"]))
    assert still.startswith("The linked clones hardly grew.")
