"""`ExercisePanel`: an exercise to work at: its task and goal, and a button for each call that a cell can make.

Whoever asks, a button here or a cell below, the panel shows what was said, and which call it was.

Knows: exercises, the lab's readings. Must not know: what any one exercise asks, how a check works.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from labkit.arguments import checked
from labkit.course.announcing import Call, listen
from labkit.course.exercise import Exercise, say_ways, show_as
from labkit.course.exercise_panel import parts as drawing
from labkit.course.result import Advice, Result, Stand, Verdict
from labkit.errors import BadInput, LabError
from labkit.language import _
from labkit.model.state import LabState
from labkit.units import Shown
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.live import LivePanel
from labkit.widgets.prose import render_line, render_prose
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work

_ASKED = {Call.START: "ask-start", Call.ANOTHER: "ask-another", Call.RESET: "ask-reset"}
"""Calls by which something is lost, with the action that asks first."""


class ExercisePanel(LivePanel):
    """An exercise: start, check, next hint, solution, another one, reset.

    Args:
        ex: the exercise, as `exercise("first-boot", lab)` returns it.

    Raises:
        BadInput: it is no exercise.
    """

    @checked
    def __init__(self, ex: Exercise) -> None:
        if not isinstance(ex, Exercise):
            raise BadInput(
                _("{other!r} is not an exercise.").format(other=Shown(ex)),
                _("Give the panel what exercise(…) returned."),
            )
        super().__init__(ex.lab)
        self._ex = ex
        self._result: Result | None = None
        self._round = 0  # how many results were told
        self._told_at, self._told_of = "", ""  # when the last one was, and the fingerprint of what was there
        self._said: dict[Call, Advice] = {}
        self._asking: Call | None = None
        listen(ex, self.heard)
        works: dict[Call, tuple[Callable[[], object], str]] = {
            Call.START: (ex.start, _("Preparing {title}")),
            Call.CHECK: (ex.check, _("Checking {title}")),
            Call.HINT: (ex.hint, _("Looking for a hint to {title}")),
            Call.ANOTHER: (ex.another, _("Preparing another {title}")),
            Call.RESET: (ex.reset, _("Removing {title}")),
        }
        for call, (do, label) in works.items():
            self.on(call.value, partial(self._work, call, do, label))
        for call, action in _ASKED.items():
            self.on(action, partial(self._ask, call))
        self.on("leave-it", partial(self._ask, None))
        self.on(Call.SOLUTION.value, self._toggle_solution)

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Exercise: {title}").format(title=self._ex.title)

    def line(self) -> str:
        """Return the task."""
        return f"{self._ex.title} ({self._ex.slug})\n{self._ex.task(mark=False)}\n{say_ways()}"

    def __repr__(self) -> str:
        return self.line()

    def body(self, *, live: bool) -> Node:
        """Return the task, the goal, and what was said; see `Panel.body`."""
        ex, reading = self._ex, self._store.reading
        if not live:
            return tag(
                "div",
                drawing.render_head(ex.title, ex.slug, None),
                render_prose(ex.task(mark=False)),
                drawing.render_goal(ex.goal(None), compared=False),
                tag("p", *render_line(say_ways()), class_="labkit-quiet"),
            )
        if reading.state is None or reading.closed:
            return self._render_absence(reading, ex.title)
        stand, busy, is_begun = self._stand(), self.busy, ex.evidence is not None
        start = drawing.start_label(starts_empty=ex.starts_empty, is_begun=is_begun)
        return tag(
            "div",
            drawing.render_head(ex.title, ex.slug, stand, practice=bool(ex.seed), before=self._was_done_before(stand)),
            render_prose(drawing.name_controls(ex.task(), start)),
            drawing.render_goal(ex.goal(reading.state), compared=True),
            drawing.render_result(self._result, start, hinted=Call.HINT in self._said, round_=self._round),
            drawing.render_age(self._told_at) if self._is_old(reading.state) else None,
            *[drawing.render_advice(call, advice, start) for call, advice in self._said.items()],
            self._render_use(),
            parts.render_buttons(
                drawing.list_buttons(
                    starts_empty=ex.starts_empty,
                    is_begun=is_begun,
                    is_done=stand is Stand.DONE,
                    busy=busy,
                ),
                label="exercise",
            ),
            drawing.render_question(self._asking, practice=bool(ex.seed), busy=busy) if self._asking else None,
        )

    def _stand(self) -> Stand:
        state = self._store.reading.state
        if self._ex.seed and self._ex.is_finished:
            return Stand.DONE
        stand = self._ex.stand((*state.machines, *state.disks) if state else ())
        return Stand.BEGUN if self._ex.seed and stand is Stand.DONE else stand

    def _was_done_before(self, stand: Stand) -> bool:
        """Whether it counts as done although the last check has not found it so."""
        return stand is Stand.DONE and self._result is not None and self._result.verdict is not Verdict.DONE

    def _is_old(self, state: LabState) -> bool:
        """Whether machines or disks that the last check was about have changed since."""
        if not self._told_of or state.unsettled:
            return False
        return state.fingerprint(self._ex.machines, self._ex.disks) != self._told_of

    def _render_use(self) -> Node | None:
        ex = self._ex
        words = drawing.say_use(ex.seconds_used, ex.hints_taken, is_over=ex.is_finished)
        return tag("p", words, class_="labkit-quiet", key="use") if words else None

    # --- what is done ------------------------------------------------------------------------------

    def heard(self, call: Call, result: Result | None, advice: Advice | None) -> None:
        """Show what the exercise has said, whoever has asked."""
        self.acting.tell(f"ex.{call.value}()")
        if result is not None:
            self._result, self._round = result, self._round + 1
            self._told_at, self._told_of = time.strftime("%H:%M"), ""
            with suppress(LabError):  # the check has said itself what is the matter
                self._told_of = self._lab.state.fingerprint(self._ex.machines, self._ex.disks)
            stays = (Call.SOLUTION,) if call in (Call.CHECK, Call.HINT) else ()
            self._said = {each: said for each, said in self._said.items() if each in stays}
        if advice is not None:
            self._said = {**self._said, call: advice}
        self._store.poke()
        self.redraw()

    def _ask(self, call: Call | None, _values: Values) -> None:
        self._asking = call

    def _toggle_solution(self, _values: Values) -> None:
        if Call.SOLUTION in self._said:
            self._said = {call: said for call, said in self._said.items() if call is not Call.SOLUTION}
        else:
            self._ex.solution()

    def _work(self, call: Call, do: Callable[[], object], label: str, _values: Values) -> None:
        self._asking = None
        known = f"{self._ex.slug} {call.value}"

        def work(_work: Work) -> None:
            before, began = len(self._lab.history), time.monotonic()
            do()
            self._store.remember(known, time.monotonic() - began)
            self.acting.tell(*[line for outcome in self._lab.history[before:] for line in outcome.commands])

        self.acting.work(label.format(title=self._ex.title), work, expected=self._store.expected(known))


show_as(lambda exercise: ExercisePanel(exercise)._repr_mimebundle_())
