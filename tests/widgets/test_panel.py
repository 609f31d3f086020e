"""The base class: three ways to be shown, acts on their own thread, no error lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from labkit.engine.progress import Progress
from labkit.errors import BadInput, Cancelled, NotFound
from labkit.language import set_language
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.widgets.acting import Proposal
from labkit.widgets.panel import Panel
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work
from tests.widgets.test_parts import PLAN
from tests.widgets.waiting import eventually

WIDGET = "application/vnd.jupyter.widget-view+json"


class Counter(Panel):
    """The smallest panel: a number, and a button that does what the test wants."""

    def __init__(self, act: Callable[[Work], object] = lambda _work: None) -> None:
        super().__init__()
        self.number = 0
        self.on("go", lambda _values: self.acting.work("Counting", act, can_cancel=True))

    def line(self) -> str:
        """Return what stays the same."""
        return "a number"

    def body(self, *, live: bool) -> Node:
        """Return the number, live."""
        return tag("p", f"number {self.number}" if live else "a number")


def press(panel: Panel, action: str, **values: str) -> None:
    """Do what the browser does when the reader presses a button."""
    panel._receive(action, values)


def test_twins_are_the_same_in_every_run() -> None:
    first, second = Counter(), Counter()
    second.number = 42
    first_bundle, second_bundle = first._repr_mimebundle_(), second._repr_mimebundle_()
    for kind in ("text/plain", "text/html"):
        assert first_bundle[kind] == second_bundle[kind]
    assert first_bundle["text/plain"] == "Counter: a number"
    assert WIDGET in first_bundle


def test_shown_twice_it_is_one_view() -> None:
    panel = Counter()
    assert panel._repr_mimebundle_()[WIDGET] == panel._repr_mimebundle_()[WIDGET]


def test_saved_panel_says_in_its_language_that_it_is_only_that() -> None:
    panel = Counter()
    set_language("es")
    try:
        assert "como se guardó" in str(panel._repr_mimebundle_()[WIDGET])
    finally:
        set_language(None)
    assert "as it was saved" in str(panel._repr_mimebundle_()[WIDGET])


def test_act_does_not_hold_up_who_asked_for_it() -> None:
    go_on = threading.Event()
    panel = Counter(lambda _work: go_on.wait(20))
    press(panel, "go")
    assert panel.busy == "Counting: wait for it to end."
    assert "Counting… Cancel The other buttons wait for it." in panel.page().text
    go_on.set()
    eventually(lambda: panel.busy is None)
    assert "Counting…" not in panel.page().text


def test_second_act_is_not_begun_while_one_runs() -> None:
    go_on, begun = threading.Event(), list[Work]()

    def wait(work: Work) -> None:
        begun.append(work)
        go_on.wait(20)

    panel = Counter(wait)
    press(panel, "go")
    press(panel, "go")
    go_on.set()
    eventually(lambda: panel.busy is None)
    assert len(begun) == 1


def test_error_of_an_act_is_shown_until_dismissed() -> None:
    def fail(_work: Work) -> None:
        raise NotFound("There is no <web>.", "There are: db.", details="code 42")

    panel = Counter(fail)
    press(panel, "go")
    eventually(lambda: panel.busy is None)
    text = panel.page().text
    assert "There is no <web>." in text
    assert "→ There are: db." in text
    assert "code 42" in text
    press(panel, "dismiss")
    assert "There is no" not in panel.page().text


def test_unexpected_error_of_an_act_is_shown_with_its_traceback_folded() -> None:
    panel = Counter(lambda _work: 1 / 0)
    press(panel, "go")
    eventually(lambda: panel.busy is None)
    (fold,) = panel.page().find("details")
    assert "division by zero" in panel.page().text
    assert "Traceback" in fold.text


def test_error_of_a_callback_is_shown() -> None:
    def refuse(_values: object) -> None:
        raise BadInput("'12 parsecs' is not a size.")

    panel = Counter()
    panel.on("configure", refuse)
    press(panel, "configure", memory="12 parsecs")
    assert "'12 parsecs' is not a size." in panel.page().text


def test_an_error_ends_the_question_that_stood_before_it() -> None:
    panel = Counter()
    panel.acting.propose(Proposal(plan=PLAN, carry_out=lambda _plan, _work: (), label="Delete web"))
    assert "Plan: Delete web" in panel.page().text

    def refuse(_values: object) -> None:
        raise BadInput("'12 parsecs' is not a size.")

    panel.on("configure", refuse)
    press(panel, "configure", memory="12 parsecs")
    assert "Plan: Delete web" not in panel.page().text
    assert not [button for button in panel.page().find("button") if "confirm" in str(button)]


def test_panel_that_cannot_be_drawn_says_so() -> None:
    class Broken(Counter):
        def body(self, *, live: bool) -> Node:
            raise ZeroDivisionError(f"live={live}")

    assert "live=True" in Broken().page().text


def test_unknown_action_changes_nothing() -> None:
    panel = Counter()
    before = panel.page()
    press(panel, "launch")
    assert panel.page() == before


def test_cancelled_act_leaves_no_error() -> None:
    def wait(work: Work) -> None:
        work.cancel.wait(20)
        raise Cancelled("Cancelled.")

    panel = Counter(wait)
    press(panel, "go")
    press(panel, "cancel")
    eventually(lambda: panel.busy is None)
    assert "Error" not in panel.page().text


def test_cancel_goes_at_once_when_it_is_no_longer_heeded() -> None:
    go_on = threading.Event()
    shown: list[str] = []

    class Watched(Counter):
        def redraw(self) -> None:
            shown.append(self.page().text)

    panel = Watched()

    def act(work: Work) -> None:
        panel.acting.report(work, Progress(step=1, steps=2, label="copying"))
        panel.acting.report(work, Progress(step=2, steps=2, label="defining", can_cancel=False))
        go_on.wait(20)

    panel.on("go", lambda _values: panel.acting.work("Counting", act, can_cancel=True))
    press(panel, "go")
    eventually(lambda: any("defining" in text for text in shown))
    assert [text for text in shown if "defining" in text and "Cancel" in text] == []
    go_on.set()
    eventually(lambda: panel.busy is None)


def test_plan_is_carried_out_only_when_confirmed() -> None:
    done: list[Plan] = []

    def carry_out(plan: Plan, _work: Work) -> tuple[str, ...]:
        done.append(plan)
        return plan.commands

    panel = Counter()
    panel.acting.propose(Proposal(plan=PLAN, carry_out=carry_out, label="Delete web"))
    assert "disks/web.vda.0.qcow2" in panel.page().text
    assert done == []
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    assert done == [PLAN]
    assert "What really happened rm -f disks/web.vda.0.qcow2" in panel.page().text


def test_plan_that_is_left_is_forgotten() -> None:
    panel = Counter()
    panel.acting.propose(Proposal(plan=PLAN, carry_out=lambda _plan, _work: (), label="Delete web"))
    press(panel, "leave")
    press(panel, "confirm")
    assert panel.busy is None
    assert "Delete web" not in panel.page().text


def test_refused_plan_cannot_be_confirmed() -> None:
    panel = Counter()
    refused = replace(PLAN, steps=(), refusal=Refusal(why="web is running."))
    panel.acting.propose(Proposal(plan=refused, carry_out=lambda _plan, _work: (), label="Delete web"))
    actions = [button.attributes.get("data-action") for button in panel.page().find("button")]
    assert "confirm" not in actions
    assert "web is running." in panel.page().text


def test_progress_is_laid_out_at_most_ten_times_a_second() -> None:
    panel = Counter()
    panel._repr_mimebundle_()
    assert panel._view is not None
    before, _page = panel._view.numbered
    work = panel.acting._work = Work(label="Copying")
    began = time.monotonic()
    for done in range(500):
        panel.acting.report(work, Progress(step=1, steps=1, label="cp", done=done, total=500))
    assert panel._view.numbered[0] - before <= 2 + 10 * (time.monotonic() - began)


def test_view_hears_when_it_is_out_of_sight() -> None:
    panel = Counter()
    shown = [panel.is_shown]
    panel._repr_mimebundle_()
    shown.append(panel.is_shown)
    assert panel._view is not None
    for word in (True, False):
        panel._view._receive(panel._view, {"view": "a", "shown": word}, [])
        shown.append(panel.is_shown)
    assert shown == [False, True, True, False]


def test_closed_panel_keeps_its_twins() -> None:
    panel = Counter()
    panel._repr_mimebundle_()
    panel.close()
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == "Counter: a number"
    assert WIDGET not in bundle
