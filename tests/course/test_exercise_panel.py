"""The panel of an exercise: what is asked, drawn and said, whoever asks; another one, for practice."""

from __future__ import annotations

import re

import pytest

from labkit import Lab
from labkit.course import ExercisePanel, exercise, exercises
from labkit.course.catalogue import EXERCISES
from labkit.course.exercise import Exercise, Verdict
from labkit.course.exercises.clones import ClassRoom
from labkit.course.exercises.first_boot import FirstBoot
from labkit.course.exercises.host import WhoFell
from labkit.course.exercises.snapshots import ThisTree
from labkit.course.goal import compare
from labkit.course.progress import CourseProgress
from labkit.course.reading import Evidence
from labkit.course.result import Stand
from labkit.errors import BadInput, NotFound
from labkit.widgets.tree import Node
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


def do(panel: ExercisePanel, action: str) -> Node:
    """Press a button, wait for what it began, and return the page."""
    press(panel, action)
    eventually(lambda: panel.busy is None, seconds=180)
    return panel.page()


def buttons(page: Node) -> list[str]:
    """Return what its buttons ask for, without those of every panel."""
    asked = [button.attributes.get("data-action", "") for button in page.find("button")]
    return [action for action in asked if action and action != "language"]


def dashed(page: Node) -> int:
    """Return how many points of the goal are drawn as missing."""
    return sum("labkit-missing" in circle.attributes["class"] for circle in page.find("circle"))


def result_key(page: Node) -> str:
    """Return what tells the verdict shown from another; what is new gets the focus."""
    keys = [str(each.attributes.get("key", "")) for each in page.find("div")]
    return next(key for key in keys if key.startswith("result "))


def solve(ex: Exercise) -> None:
    """Run the official solution."""
    exec(ex.code, {"ex": ex, "lab": ex.lab})  # noqa: S102  what is shown is what is proved


def used(ex: Exercise) -> float | None:
    """Return the seconds it took."""
    return ex.seconds_used


def counts(ex: Exercise) -> bool:
    """Return whether it counts as done."""
    return ex.is_done


@pytest.fixture
def tree(lab: Lab, progress: CourseProgress) -> ThisTree:
    return ThisTree(lab, progress=progress)


def test_an_exercise_shows_itself_as_a_panel_whose_twin_is_the_same_in_every_lab(
    lab: Lab, progress: CourseProgress, tree: ThisTree
) -> None:
    bundle = tree._repr_mimebundle_()
    assert bundle["text/plain"] == repr(tree) == repr(ExercisePanel(tree))
    html = str(bundle["text/html"])
    assert "<code>this-tree</code>" in html
    assert "after base" in html
    assert "<button" not in html
    lab.create("this-tree")
    assert tree._repr_mimebundle_()["text/html"] == html
    assert FirstBoot(lab, progress=progress)._repr_mimebundle_()["text/html"] != html


def test_the_goal_is_drawn_and_what_is_missing_is_dashed(tree: ThisTree) -> None:
    panel = ExercisePanel(tree)
    panel._repr_mimebundle_()
    assert dashed(panel.page()) == 4
    machine = tree.lab.create(tree.machine)
    machine.snapshots.take("base").take("left").take("stray")
    panel.refresh()
    page = panel.page()
    assert dashed(page) == 2
    assert "leaf missing: after left" in page.text
    assert "stray there, but not asked for" in page.text
    assert "2 are missing" in page.text


def test_what_hangs_elsewhere_is_missing() -> None:
    wanted = {"base": None, "left": "base", "right": "base"}
    goal = compare(wanted, {"base": None, "left": "base", "right": "left"})
    assert goal.missing == ("right",)
    assert [point.name for point in goal.points] == ["base", "left", "right"]


def test_a_seat_that_is_no_linked_clone_is_missing(lab: Lab, progress: CourseProgress) -> None:
    room = ClassRoom(lab, progress=progress)
    origin = lab.create("classroom")
    origin.snapshots.take("ready")
    origin.clone("classroom-01", kind="linked", snapshot="ready")
    origin.clone("classroom-02", snapshot="ready")
    goal = room.goal(lab.state)
    assert goal is not None
    assert goal.missing == tuple(f"classroom-{number:02}" for number in range(2, 7))


def test_buttons_do_what_a_cell_can_call_and_say_so(lab: Lab, progress: CourseProgress) -> None:
    panel = ExercisePanel(FirstBoot(lab, progress=progress))
    panel._repr_mimebundle_()
    assert "start" not in buttons(panel.page())
    page = do(panel, "check")
    assert "There is no machine first-boot." in page.text
    assert "ex.check()" in page.text
    lab.create("first-boot")
    page = do(panel, "hint")
    assert "Hint 1 of 3." in page.text
    assert "1 hint taken in all." in page.text
    page = do(panel, "solution")
    assert "vm = lab.create(ex.machine)" in page.text
    assert "vm = lab.create(ex.machine)" not in do(panel, "solution").text
    do(panel, "ask-reset")
    assert "That it was done is forgotten." in panel.page().text
    assert "first-boot" in lab.machines
    page = do(panel, "reset")
    assert "first-boot" not in lab.machines
    assert "virsh undefine" in page.text
    assert "That it was done" not in page.text


def test_a_hint_stands_in_place_of_the_way_out_and_not_below_it(lab: Lab, progress: CourseProgress) -> None:
    panel = ExercisePanel(FirstBoot(lab, progress=progress))
    panel._repr_mimebundle_()
    way = "lab.create('first-boot')"
    assert do(panel, "check").text.count(way) == 1
    assert do(panel, "hint").text.count(way) == 1


def test_what_calls_for_a_start_names_the_button_for_it(lab: Lab, tree: ThisTree) -> None:
    panel = ExercisePanel(tree)
    panel._repr_mimebundle_()
    page = do(panel, "check")
    assert "ex.start() (“Begin”) starts the machine this-tree" in page.text
    assert "→ ex.start() (“Begin”) makes what the exercise starts from." in page.text.replace("  ", " ")
    do(panel, "start")
    lab.machines["this-tree"].kill()
    lab.machines["this-tree"].delete()
    page = do(panel, "check")
    assert "Call ex.start() (“Begin again…”)" in page.text
    assert "(“" not in tree.task(), "what is typed needs no button"


def test_a_check_that_says_the_same_again_is_heard_again(lab: Lab, progress: CourseProgress) -> None:
    panel = ExercisePanel(FirstBoot(lab, progress=progress))
    panel._repr_mimebundle_()
    told = [result_key(do(panel, "check")) for _time in range(2)]
    assert told[0] != told[1]
    panel.redraw()
    assert result_key(panel.page()) == told[1]


def test_what_a_cell_asks_is_shown_in_the_panel(lab: Lab, progress: CourseProgress) -> None:
    panel = ExercisePanel(FirstBoot(lab, progress=progress))
    panel._repr_mimebundle_()
    FirstBoot(lab, progress=progress).check()
    assert "There is no machine first-boot." in panel.page().text
    other = ExercisePanel(FirstBoot(lab, progress=CourseProgress(progress.path.parent / "somebody-else")))
    other._repr_mimebundle_()
    FirstBoot(lab, progress=progress).hint()
    assert "There is no machine first-boot." not in other.page().text


def test_the_work_is_begun_done_and_timed(tree: ThisTree) -> None:
    panel = ExercisePanel(tree)
    panel._repr_mimebundle_()
    unused = tree.seconds_used
    assert unused is None
    page = do(panel, "start")
    assert "Begun, and nothing has changed yet" in page.text
    assert "Begun less than a minute ago." in page.text
    assert "ask-start" in buttons(page)
    solve(tree)
    page = do(panel, "check")
    assert "✓ done" in page.text
    assert dashed(page) == 0
    assert "It took less than a minute." in page.text
    before = used(tree)
    assert before is not None
    assert tree.check().verdict is Verdict.DONE
    assert used(tree) == before


def test_a_verdict_says_when_the_lab_has_changed_since(tree: ThisTree) -> None:
    panel = ExercisePanel(tree)
    panel._repr_mimebundle_()
    old = "The lab has changed since: check again."
    do(panel, "start")
    solve(tree)
    page = do(panel, "check")
    assert old not in page.text
    panel.refresh()
    assert old not in panel.page().text
    tree.lab.machines[tree.machine].snapshots.delete("leaf")
    eventually(lambda: old in panel.page().text)
    assert re.search(r"That was so at \d\d:\d\d\.", panel.page().text)
    assert old not in do(panel, "check").text
    tree.lab.create("beside")
    panel.refresh()
    assert old not in panel.page().text, "what is made beside it is no work on it"


def test_what_counts_as_done_and_is_not_there_any_more_was_done_before(
    tree: ThisTree, progress: CourseProgress
) -> None:
    progress.record_done(tree.slug)
    panel = ExercisePanel(tree)
    panel._repr_mimebundle_()
    assert "✓ done" in panel.page().text
    tree.another("seed-1")
    assert "◐ begun" in panel.page().text
    page = do(panel, "reset")
    assert "Not started yet" in page.text
    assert "✓ done before" in page.text


def test_another_one_has_other_marks_and_does_not_count(tree: ThisTree, progress: CourseProgress) -> None:
    own = tree.mark
    assert tree.another("seed-1").verdict is Verdict.BEGUN
    first = tree.mark
    assert first != own
    solve(tree)
    assert tree.check().verdict is Verdict.DONE
    assert not counts(tree)
    assert "practice" in ExercisePanel(tree).page().text
    progress.record_done(tree.slug)
    tree.reset()
    assert tree.mark == own
    assert counts(tree)
    assert not tree.lab.machines


def test_places_and_who_it_befalls_follow_the_seed(lab: Lab, progress: CourseProgress) -> None:
    def fallen(seed: str) -> tuple[str, str]:
        ex = WhoFell(lab, progress=progress)
        ex._kept.keep(None, seed=seed)
        return ex.mark, ex.fallen

    drawn = [fallen(f"seed-{number}") for number in range(12)]
    assert drawn == [fallen(f"seed-{number}") for number in range(12)]
    assert len({mark for mark, _name in drawn}) == 12
    assert {name for _mark, name in drawn} == {"who-fell-1", "who-fell-2", "who-fell-3"}


def test_each_draws_a_seed_of_its_own(lab: Lab, progress: CourseProgress) -> None:
    ex = FirstBoot(lab, progress=progress)
    seeds = []
    for _time in range(2):
        ex.another()
        seeds.append(ex.seed)
    assert len({*seeds, ""}) == 3


@pytest.mark.parametrize("seed", ["", "a/b", " ", "x" * 61])
def test_a_seed_that_is_no_name_is_refused_and_nothing_is_lost(lab: Lab, progress: CourseProgress, seed: str) -> None:
    ex = FirstBoot(lab, progress=progress)
    lab.create("first-boot")
    with pytest.raises(BadInput):
        ex.another(seed)
    assert "first-boot" in lab.machines
    assert not ex.seed


def test_what_is_no_exercise_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        ExercisePanel("first-boot")  # type: ignore[arg-type]
    assert "exercise" in refusal.value.hint


def test_exercises_are_listed_in_the_order_of_the_course() -> None:
    listed = exercises()
    assert {each.slug for each in listed} == set(EXERCISES)
    assert [each.notebook for each in listed] == sorted(each.notebook for each in listed)
    assert repr(listed).splitlines()[0].split(maxsplit=2)[:2] == ["00", "first-boot"]
    assert repr(listed).splitlines()[0].endswith("  First boot")
    assert "<code>who-fell</code>" in listed._repr_html_()


def test_the_list_says_how_each_stands(lab: Lab, progress: CourseProgress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.course.progress.data_folder", lambda: progress.path.parent.parent)
    CourseProgress().record_done("this-tree")
    lab.create("first-boot")
    exercise("who-fell", lab)._kept.keep(Evidence(at="2026-01-01"))
    listed = exercises(lab)
    stands = {each.slug: each.stand for each in listed}
    begun = {"first-boot", "who-fell"}
    assert {slug for slug, stand in stands.items() if stand is Stand.BEGUN} == begun
    assert {slug for slug, stand in stands.items() if stand is Stand.DONE} == {"this-tree"}
    assert set(stands.values()) == set(Stand)
    assert repr(listed).splitlines()[0].split() == ["00", "first-boot", "◐", "begun", "First", "boot"]
    assert "<td>✓ done</td>" in listed._repr_html_()


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("frist-boot", "first-boot"), ("first", "first-boot"), ("Slimmr", "slimmer"), ("este_arbol", "este-arbol")],
)
def test_a_wrong_name_brings_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(NotFound) as refusal:
        exercise(wrong)
    assert near in refusal.value.hint
    assert len(refusal.value.hint) < 150
    assert "exercises()" in refusal.value.hint


def test_a_name_like_no_other_is_answered_with_the_list() -> None:
    with pytest.raises(NotFound) as refusal:
        exercise("nope")
    assert refusal.value.hint == "exercises() lists them all."
