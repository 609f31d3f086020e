"""What a check tells, and what a student is given beside it: values.

Knows: the words of the course. Must not know: labs, any one exercise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from labkit.language import _, say_again
from labkit.widgets.prose import render_line, render_prose
from labkit.widgets.tree import tag, to_html


class Stand(StrEnum):
    """How an exercise stands."""

    DONE = "done"
    BEGUN = "begun"
    OPEN = "open"

    @property
    def word(self) -> str:
        """It in a word, with its mark."""
        return {Stand.DONE: _("✓ done"), Stand.BEGUN: _("◐ begun"), Stand.OPEN: _("○ open")}[self]


class Verdict(StrEnum):
    """How a check came out."""

    DONE = "done"
    NOT_STARTED = "not started"
    BEGUN = "begun"
    """Nothing has changed since the start: there is nothing to judge yet."""
    WRONG = "wrong"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a check found.

    Attributes:
        verdict: how it came out.
        why: what was seen, one sentence; what is wrong, or which precondition was broken.
        hint: which call comes next, one sentence; for a broken precondition the step that restores it.
        line: the line itself, where it is not the solution as a whole.
    """

    verdict: Verdict
    why: str = ""
    hint: str = ""
    line: str = ""

    @property
    def text(self) -> str:
        """The result in one or two sentences."""
        words = {
            Verdict.DONE: _("✓ Done. {why}"),
            Verdict.NOT_STARTED: _("· Not started yet. {why}"),
            Verdict.BEGUN: _("▸ Begun, and nothing has changed yet. {why}"),
            Verdict.WRONG: _("✗ Not yet, because: {why}"),
            Verdict.BROKEN: _("⚠ What the exercise starts from is broken: {why}"),
        }
        return words[self.verdict].format(why=say_again(self.why)).strip()

    def __repr__(self) -> str:
        return f"{self.text}\n→ {self.hint}" if self.verdict is Verdict.BROKEN else self.text

    def _repr_html_(self) -> str:
        restore = tag("p", "→ ", *render_line(self.hint)) if self.verdict is Verdict.BROKEN else None
        return to_html(tag("div", tag("p", *render_line(self.text)), restore))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A hint or a solution: text, and code if there is some."""

    text: str
    code: str = ""

    def __repr__(self) -> str:
        return f"{self.text}\n\n{self.code}" if self.code else self.text

    def _repr_html_(self) -> str:
        return to_html(tag("div", render_prose(self.text), tag("pre", self.code) if self.code else None))


def done(why: str) -> Result:
    """Return that it is done, and what was seen."""
    return Result(verdict=Verdict.DONE, why=why)


def wrong(why: str, hint: str, line: str = "") -> Result:
    """Return that it is not done yet: why, and the next step."""
    return Result(verdict=Verdict.WRONG, why=why, hint=hint, line=line)


def broken(why: str, hint: str = "") -> Result:
    """Return that a precondition is broken, which only a new start restores, if no hint says else."""
    hint = hint or _("Call ex.start(): it makes everything again.")
    return Result(verdict=Verdict.BROKEN, why=why, hint=hint, line="ex.start()")


def not_begun(why: str, hint: str = "") -> Result:
    """Return that nothing is begun: what is missing, and how to begin."""
    hint = hint or _("ex.start() makes what the exercise starts from.")
    return Result(verdict=Verdict.NOT_STARTED, why=why, hint=hint, line="ex.start()")
