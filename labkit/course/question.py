"""The question of a prediction: its options, and which of them an observation belongs to; values.

Knows: the course's texts. Must not know: panels, progress, how anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.course.text import find_text, say
from labkit.errors import BadInput
from labkit.language import _
from labkit.units import Shown, parse_size

_MOST = 1e300
"""All measurements are below this number."""

UNKNOWN = "unknown"
"""The option "I don't know"; every prediction has it."""

UNTOLD = "untold"
"""Stands for an observation that tells nothing, since it is no larger than the spread of what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A possible answer.

    Attributes:
        slug: its name. text: what it says. below: observed numbers below this belong to it, or None.
    """

    slug: str
    text: str
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prediction's question in the language in force.

    Attributes:
        options: in order, "I don't know" last.
        varies: whether computers may answer differently.
        unit: of what is measured, see `amount.py`.
    """

    slug: str
    text: str
    options: tuple[Option, ...]
    varies: bool
    unit: str = ""

    @property
    def markdown(self) -> str:
        """The question with its options, as it stands in a notebook."""
        head = _("Predict:")
        return "\n".join([f"**{head}** {self.text}", "", *(f"- {option.text}" for option in self.options)])

    def option(self, slug: str) -> Option:
        """Return an option by its name; KeyError when there is none."""
        return {option.slug: option for option in self.options}[slug]

    def measure(self, observed: object) -> float | None:
        """Return an observation as the number it is, if the options are ranges of numbers; else None."""
        if any(option.below is not None for option in self.options) and _is_number(observed):
            return float(str(observed))
        return None

    def classify(self, observed: object) -> Option:
        """Return the option that an observation belongs to.

        Args:
            observed: a number if the options are ranges, else an option's slug; True and False stand for "yes" and
                "no", None for what cannot be told from what was measured.

        Raises:
            BadInput: it belongs to none.
        """
        answers = self.options[:-1]
        if observed is None:
            return Option(slug=UNTOLD, text=_("not distinguishable on this computer"))
        number = self.measure(observed)
        if number is not None:
            return next(option for option in answers if option.below is None or number < option.below)
        slug = {True: "yes", False: "no"}.get(observed) if isinstance(observed, bool) else observed
        for option in answers:
            if option.slug == slug:
                return option
        raise BadInput(
            _("{observed!r} is no answer to {slug!r}.").format(observed=Shown(observed), slug=self.slug),
            _("Give a number, or one of: {names}.").format(names=", ".join(option.slug for option in answers)),
        )


def read_question(slug: str) -> Question:
    """Return a question from the course's texts.

    Raises:
        NotFound: there is none of that name.
    """
    table = find_text("predictions", slug)
    options = tuple(
        Option(slug=option["slug"], text=say(option), below=_bound(option.get("below"))) for option in table["options"]
    )
    unknown = Option(slug=UNKNOWN, text=_("I don't know"))
    return Question(
        slug=slug,
        text=say(table["question"]),
        options=(*options, unknown),
        varies=table["varies"],
        unit=table.get("unit", ""),
    )


def _bound(below: str | float | None) -> float | None:
    return float(parse_size(below)) if isinstance(below, str) else below


def _is_number(observed: object) -> bool:
    return isinstance(observed, int | float) and not isinstance(observed, bool) and abs(observed) < _MOST
