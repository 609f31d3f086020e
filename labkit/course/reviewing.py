"""Review: a notebook begins with three questions of earlier ones, answered from what the student's own machine said.

    review("03")                        three questions of notebooks before 03

Only what this student's machine has answered is asked, first what was predicted otherwise. An answer here is kept
nowhere: it is for whoever gives it.

Knows: questions, progress, panels. Must not know: how anything was measured.
"""

from __future__ import annotations

import hashlib

from labkit.arguments import checked
from labkit.course.amount import say_amount
from labkit.course.progress import CourseProgress, Observed
from labkit.course.question import UNKNOWN, Option, Question, read_question
from labkit.course.text import read_texts
from labkit.errors import BadInput
from labkit.language import _
from labkit.units import Shown
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.panel import Panel
from labkit.widgets.tree import Node, tag

MOST = 3
"""How many questions are asked."""


class Review(Panel):
    """Questions of earlier notebooks, with what the machine said then.

    Args:
        notebook: the number of the notebook it stands in, such as "03".
    """

    def __init__(self, notebook: str, *, progress: CourseProgress | None = None) -> None:
        super().__init__()
        self._notebook = notebook
        self._progress = progress or CourseProgress()
        self._chosen: dict[str, str] = {}
        self.on("choose", self._choose)

    @property
    def questions(self) -> tuple[str, ...]:
        """The names of the predictions that are asked again, in order."""
        texts, observed = read_texts("predictions"), self._progress.observed()
        earlier = [
            slug
            for slug, text in texts.items()
            if text["notebook"] < self._notebook and _option_of(slug, observed.get(slug)) is not None
        ]
        earlier.sort(key=lambda slug: (self._was_right(slug, observed[slug]), self._draw(slug)))
        return tuple(earlier[:MOST])

    def title(self) -> str:
        """Return what the panel is called."""
        return _("What do you remember?")

    def line(self) -> str:
        """Return what the panel is about."""
        return _("three questions of earlier notebooks")

    def body(self, *, live: bool) -> Node:
        """Return the questions with their options, and what the machine said to those that are answered."""
        head = tag(
            "div", parts.badge(_("Review"), shape="↺", tone="calm"), tag("h3", self.title()), class_="labkit-head"
        )
        if not live:
            return tag("div", head, tag("p", _("Run this cell: your own machine's answers are asked for.")))
        asked, observed = self.questions, self._progress.observed()
        if not asked:
            none = _("Nothing yet: no earlier notebook was worked through here. The questions come from what your own "
                     "machine said there.")  # fmt: skip
            return tag("div", head, tag("p", none))
        return tag("div", head, *[self._question(read_question(slug), observed[slug]) for slug in asked])

    def _question(self, question: Question, observed: Observed) -> Node:
        chosen = self._chosen.get(question.slug)
        buttons = [
            tag(
                "button",
                ("● " if chosen == option.slug else "○ ") + option.text,
                key=option.slug,
                type="button",
                class_="labkit-button",
                data_action="choose",
                data_subject=question.slug,
                data_choice=option.slug,
                aria_pressed="true" if chosen == option.slug else "false",
                aria_disabled="true" if chosen else None,
            )
            for option in question.options
        ]
        return tag(
            "div",
            tag("h4", question.text),
            tag("div", *buttons, class_="labkit-options", role="group", aria_label=question.text),
            self._answer(question, observed, chosen) if chosen else None,
            key=question.slug,
        )

    def _answer(self, question: Question, observed: Observed, chosen: str) -> Node:
        option = question.option(observed.option)
        right = chosen == option.slug
        verdict = _("You remember.") if right else _("Now you know.") if chosen == UNKNOWN else _("It was not so.")
        said = _("On {day} your machine said: {answer}").format(day=observed.at[:10], answer=option.text)
        figure = say_amount(observed.value, question.unit) if observed.value is not None else ""
        before = self._progress.answer(question.slug)
        predicted = {each.slug: each.text for each in question.options}.get(before or "")
        return tag(
            "div",
            tag("p", tag("strong", ("✓ " if right else "✗ ") + verdict), " ", said),
            tag("p", _("Measured: {figure}").format(figure=figure)) if figure else None,
            tag("p", _("You predicted: {answer}").format(answer=predicted), class_="labkit-quiet")
            if predicted
            else None,
            class_="labkit-plan",
            role="status",
            tabindex=-1,
            data_appear=True,
            key="answer",
        )

    def _choose(self, values: Values) -> None:
        slug, choice = values.get("subject", ""), values.get("choice", "")
        if slug in self.questions and any(option.slug == choice for option in read_question(slug).options):
            self._chosen.setdefault(slug, choice)

    def _was_right(self, slug: str, observed: Observed) -> bool:
        return self._progress.answer(slug) == observed.option

    def _draw(self, slug: str) -> str:
        """Return what decides the order among equals: the same for one student in one notebook."""
        return hashlib.sha256(f"{self._progress.student}:{self._notebook}:{slug}".encode()).hexdigest()


def _option_of(slug: str, observed: Observed | None) -> Option | None:
    """Return the option that the machine has answered, or None: it has not, or the option is no longer one."""
    if observed is None or not observed.option or observed.option == UNKNOWN:
        return None
    return next((option for option in read_question(slug).options if option.slug == observed.option), None)


@checked
def review(notebook: str) -> Review:
    """Return three questions of the notebooks before this one, to be answered from memory.

    Args:
        notebook: the number of the one they are asked in, such as "03".

    Raises:
        BadInput: the course has no notebook of that number.
    """
    numbers = sorted({text["notebook"] for text in read_texts("predictions").values()})
    if notebook not in numbers:
        raise BadInput(
            _("{notebook!r} is no notebook of the course.").format(notebook=Shown(notebook)),
            _("Give its number: {numbers}.").format(numbers=", ".join(numbers)),
        )
    return Review(notebook)
