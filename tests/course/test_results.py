"""Figures that are kept beyond their section: of this computer and accelerator, or measured anew."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from labkit import Lab
from labkit.course import compare, keep, recall
from labkit.course.measures import MEASURES, MOST_SECONDS
from labkit.course.progress import CourseProgress, KeptFigure
from labkit.course.results import describe_result, this_place
from labkit.course.text import read_texts
from labkit.errors import BadInput, NotFound
from labkit.figures import style
from labkit.figures.drawing import Drawing


@pytest.fixture(autouse=True)
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep them where nobody else does."""
    monkeypatch.setattr("labkit.course.progress.data_folder", lambda: tmp_path)


def test_what_was_kept_is_recalled(lab: Lab) -> None:
    keep("boot-time", 4.25, unit="s", spread=0.5, lab=lab)
    kept = recall("boot-time", lab=lab)
    assert (kept.value, kept.unit, kept.spread) == (4.25, "s", 0.5)
    assert kept.is_of(*this_place(lab))
    assert kept.at
    assert repr(kept) == f"boot-time: 4.25 s ({kept.at[:10]}, {kept.accelerator})"
    assert repr(KeptFigure(slug="mine", value=2)) == "mine: 2"
    assert describe_result(kept) == ("a machine starts, until its guest answers", "4.25 s (spread 0.5 s)")


def test_a_later_one_takes_its_place(lab: Lab) -> None:
    for value in (1, 2):
        keep("mine", value, lab=lab)
    assert [kept.value for kept in CourseProgress().results()] == [2]


def test_figures_of_another_computer_or_accelerator_are_never_mixed_in(lab: Lab) -> None:
    host, accelerator = this_place(lab)
    keep("mine", 1, lab=lab)
    for other in ((host, "other"), ("other", accelerator)):
        CourseProgress().record_result(KeptFigure(slug="mine", value=2, host=other[0], accelerator=other[1]))
    assert recall("mine", lab=lab).value == 1
    assert len(CourseProgress().results()) == 3


@pytest.mark.parametrize(
    ("slug", "value", "unit"), [("", 1, "s"), ("mine", float("nan"), "s"), ("mine", True, "s"), ("mine", 1, "kg")]
)
def test_what_is_no_figure_is_refused(lab: Lab, slug: str, value: float, unit: str) -> None:
    with pytest.raises(BadInput):
        keep(slug, value, unit=unit, lab=lab)


def test_what_nobody_kept_and_nobody_can_measure_is_told(lab: Lab) -> None:
    with pytest.raises(NotFound, match="There is no result 'mine' of this computer yet"):
        recall("mine", lab=lab)
    with pytest.raises(NotFound) as refusal:
        recall("twenty-machines", lab=lab)
    assert refusal.value.hint == "It is measured in notebook 01."


def test_every_measured_figure_has_words() -> None:
    assert set(MEASURES) <= set(read_texts("results"))


@pytest.mark.alone
@pytest.mark.parametrize("slug", MEASURES)
def test_what_nobody_kept_is_measured_and_nothing_of_it_is_left(lab: Lab, slug: str) -> None:
    began = time.monotonic()
    kept = recall(slug, lab=lab)
    assert kept.value > 0
    assert time.monotonic() - began < 2 * MOST_SECONDS
    assert (list(lab.machines), list(lab.disks)) == ([], [])
    assert recall(slug, lab=lab) == kept


def test_figures_are_compared_on_one_axis_and_the_twin_holds_no_number() -> None:
    kept = [
        KeptFigure(slug=slug, value=value, unit="s", host="here", accelerator="tcg")
        for slug, value in (("boot-time", 4.25), ("migration-pause", 0.2))
    ]
    drawing = compare(*kept)
    assert drawing.text.startswith("Compared: a machine starts, until its guest answers | the longest silence")
    assert not any(digit in drawing.text for digit in "0123456789")
    assert drawing.to_png()


def test_figures_of_elsewhere_stand_apart_with_their_computer_named(lab: Lab) -> None:
    kept = [keep(slug, value, unit="s", lab=lab) for slug, value in (("full-clone", 4.0), ("linked-clone", 0.5))]
    alone = compare(*kept)
    assert "Not compared" not in alone.text
    place = kept[0].host, kept[0].accelerator
    others = (
        KeptFigure(slug="linked-clone", value=90, unit="s", host="x", accelerator="tcg", computer="annex-7"),
        KeptFigure(slug="full-clone", value=900, unit="s", host="x", accelerator="tcg", computer="annex-7"),
        KeptFigure(slug="full-clone", value=1, unit="s", host=place[0], accelerator="other"),
        KeptFigure(slug="full-clone", value=2, unit="B", host="y", accelerator="tcg", computer="another-unit"),
        KeptFigure(slug="twenty-seats", value=3, unit="s", host="y", accelerator="tcg", computer="not-asked-for"),
    )
    for other in others:
        CourseProgress().record_result(other)
    drawing = compare(*(recall(slug, lab=lab) for slug in ("full-clone", "linked-clone")))
    first, *rest = drawing.text.splitlines()
    assert [first] == alone.text.splitlines()
    full, linked = (describe_result(each)[0] for each in kept)
    assert sorted(rest) == [
        f"Not compared: measured on annex-7 with TCG: {full} | {linked}",
        f"Not compared: measured on this computer with OTHER: {full}",
    ]
    bars = bars_of(drawing)
    assert bars[:2] == bars_of(alone)
    assert len({colour for _width, colour in bars[:2]}) == 1
    assert {colour for _width, colour in bars[2:]} == {to_rgba(style.ABSENT)}


def bars_of(drawing: Drawing) -> list[tuple[float, object]]:
    """The width and the colour of each."""
    bars = [patch for patch in drawing._ax.patches if isinstance(patch, Rectangle)]
    return [(bar.get_width(), bar.get_facecolor()) for bar in bars]


def test_figures_of_two_units_are_refused() -> None:
    one = KeptFigure(slug="a", value=1.0, unit="s", host="here", accelerator="tcg")
    with pytest.raises(BadInput) as refusal:
        compare(one, KeptFigure(slug="b", value=2.0, unit="B", host="here", accelerator="tcg"))
    assert "different units" in refusal.value.message


def test_what_is_no_kept_figure_is_refused() -> None:
    for given in ((4.25, 0.2), (KeptFigure(slug="a", value=1.0),)):
        with pytest.raises(BadInput):
            compare(*given)
