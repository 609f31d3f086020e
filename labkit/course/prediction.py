"""Predictions: a question before the experiment, and afterwards the answer beside what was measured.

    predict("boot-time")                lets the question be answered; never blocks, "I don't know" is an answer
    predict("boot-time").reveal(4.1)    shows what was chosen beside what was measured

The question itself stands in the prose above, so that it is read before anything runs. What the machine says comes from
the run; what is chosen after it is no prediction any more. An answer is kept in the progress file; the static twins
never hold it, and hold what was observed only where every computer observes the same.

Knows: the course's texts, progress, panels. Must not know: how anything is measured.
"""

from __future__ import annotations

import weakref

from labkit.arguments import checked
from labkit.course.amount import say_amount
from labkit.course.progress import CourseProgress
from labkit.course.question import UNKNOWN, UNTOLD, Option, Question, read_question
from labkit.errors import BadInput
from labkit.language import _
from labkit.units import Shown
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.panel import Panel
from labkit.widgets.tree import Node, tag

_shown: dict[str, weakref.WeakSet[Panel]] = {}
"""The panels of each prediction, since an answer given in one is shown in all."""


class Prediction(Panel):
    """A question with its options; the reader chooses one, and may change the choice."""

    def __init__(self, slug: str, *, progress: CourseProgress | None = None) -> None:
        super().__init__()
        self.slug = slug
        self._progress = progress or CourseProgress()
        read_question(slug)
        self.on("choose", self._choose)
        _shown.setdefault(slug, weakref.WeakSet()).add(self)

    @property
    def question(self) -> Question:
        """The question, in the language in force."""
        return read_question(self.slug)

    @property
    def choice(self) -> Option | None:
        """What the reader has chosen, or None."""
        slug = self._progress.answer(self.slug)
        options = {option.slug: option for option in self.question.options}
        return options.get(slug or "")

    @property
    def is_late(self) -> bool:
        """Whether the choice was made after the machine had answered."""
        return self._progress.is_late(self.slug)

    @property
    def is_revealed(self) -> bool:
        """Whether the machine has answered."""
        return self._progress.is_revealed(self.slug)

    @checked
    def choose(self, option: str) -> Prediction:
        """Choose an option by its name, where there is no button to press.

        Raises:
            BadInput: the question has none of that name.
        """
        options = {each.slug: each for each in self.question.options}
        if option not in options:
            raise BadInput(
                _("{observed!r} is no answer to {slug!r}.").format(observed=Shown(option), slug=self.slug),
                _("Give one of: {names}.").format(names=", ".join(options)),
            )
        self._progress.record_answer(self.slug, option)
        for panel in list(_shown[self.slug]):
            panel.redraw()
        return self

    def reveal(self, observed: object) -> Revealed:
        """Return what was observed, to be shown beside the choice; what is chosen from now on is late.

        Args:
            observed: what the run observed; see `Question.classify`.
        """
        revealed = Revealed(self, observed)
        self._progress.record_revealed(self.slug, revealed.observed.slug, self.question.measure(observed))
        for panel in list(_shown[self.slug]):
            panel.redraw()
        return revealed

    def line(self) -> str:
        """Return how to answer; the question stands above."""
        first, *others = (f'"{option.slug}"' for option in self.question.options)
        call = f'predict("{self.slug}").choose({first})'
        return _("Choose an answer: {call}, or {others}.").format(call=call, others=", ".join(others))

    def body(self, *, live: bool) -> Node:
        """Return the question; see `Panel.body`."""
        question, choice, done = self.question, self.choice, self._is_settled()
        if not live:
            return tag("p", _("Run this cell to choose an answer."))
        buttons = [
            tag(
                "button",
                ("● " if choice == option else "○ ") + option.text,
                key=option.slug,
                type="button",
                class_="labkit-button",
                data_action="choose",
                data_choice=option.slug,
                aria_pressed="true" if choice == option else "false",
                aria_disabled="true" if done else None,
                title=self._word() if done else None,
            )
            for option in question.options
        ]
        return tag(
            "div",
            self._head(),
            tag("div", *buttons, class_="labkit-options", role="group", aria_label=question.text),
            tag("p", self._word(), class_="labkit-quiet", role="status"),
        )

    def _head(self) -> Node:
        """Return what it is and how it stands, as exercises do."""
        stands = {
            False: parts.badge(_("open"), shape="○", tone="calm"),
            True: parts.badge(_("answered"), shape="✓", tone="good"),
        }
        late = parts.badge(_("answered late"), shape="◐", tone="warn")
        return tag(
            "div",
            parts.badge(_("Prediction"), shape="?", tone="calm"),
            late if self.choice and self.is_late else stands[self.choice is not None],
            class_="labkit-head",
        )

    def _is_settled(self) -> bool:
        return self.is_revealed and self.choice is not None and not self.is_late

    def _word(self) -> str:
        if self._is_settled():
            return _("Your prediction is kept as it was: the machine has answered.")
        if self.is_revealed:
            return _("The machine has answered already: what you choose now does not count as predicted.")
        return _("Your prediction is kept; you may change it.") if self.choice else _("Choose one, then go on.")

    def _choose(self, values: Values) -> None:
        self.choose(values.get("choice", ""))


class Revealed(Panel):
    """What was predicted, beside what was observed."""

    needs_section = True

    def __init__(self, prediction: Prediction, observed: object) -> None:
        super().__init__()
        self._prediction = prediction
        prediction.question.classify(observed)
        self._observed = observed
        self._measured = prediction.question.measure(observed)
        _shown.setdefault(prediction.slug, weakref.WeakSet()).add(self)

    @property
    def observed(self) -> Option:
        """The option that the observation belongs to."""
        return self._prediction.question.classify(self._observed)

    @property
    def measured(self) -> str:
        """The number that was measured, in words; "" if it was none."""
        return "" if self._measured is None else say_amount(self._measured, self._prediction.question.unit)

    @property
    def verdict(self) -> str:
        """The comparison, as a sentence; predictions are not graded."""
        choice = self._prediction.choice
        if choice is None:
            return _("You have not predicted anything.")
        if self._prediction.is_late:
            return _("You chose after the machine had answered: that does not count as predicted.")
        if choice.slug == UNKNOWN:
            return _("You said that you did not know; now you do.")
        if self.observed.slug == UNTOLD:
            return _("The machine cannot tell: run the section again when this computer has less to do.")
        if choice == self.observed:
            return _("As you predicted.")
        return _("Not as you predicted: what explains the difference?")

    def line(self) -> str:
        """Return the question, and what was observed if that is the same on all computers."""
        return f"{self._prediction.question.text}\n  {self._machine_says()}"

    def body(self, *, live: bool) -> Node:
        """Return the comparison; see `Panel.body`."""
        question = tag("p", self._prediction.question.text)
        if not live:
            return tag("div", question, tag("p", self._machine_says()))
        choice = self._prediction.choice
        words = _("You chose afterwards: {answer}") if self._prediction.is_late else _("You predicted: {answer}")
        you = tag("p", words.format(answer=choice.text)) if choice else None
        return tag(
            "div",
            question,
            you,
            tag("p", tag("strong", _("The machine says: {answer}").format(answer=self.observed.text))),
            tag("p", _("Measured: {figure}").format(figure=self.measured)) if self.measured else None,
            tag("p", self.verdict, role="status"),
        )

    def _machine_says(self) -> str:
        if self._prediction.question.varies:
            return _("The machine's answer differs from computer to computer: run the cell.")
        return _("The machine says: {answer}").format(answer=self.observed.text)

    def __repr__(self) -> str:
        return self.line()


@checked
def predict(slug: str) -> Prediction:
    """Return a prediction to show: a question, its options, and the choice.

    Raises:
        NotFound: the course has none of that name.
    """
    return Prediction(slug)
