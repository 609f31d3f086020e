"""What a student has measured, kept beyond its section: `keep` writes it down, `recall` brings it back.

    keep("boot-time", watch.seconds, unit="s")
    recall("boot-time")                 what was kept on this computer, or else it is measured

A figure belongs to the computer and the accelerator that it was measured with; others are shown apart, never mixed.

Knows: progress, the lab's host. Must not know: how anything is measured (`measures.py`).
"""

from __future__ import annotations

from typing import TypeAlias

from labkit.arguments import checked
from labkit.course.amount import UNITS, say_amount
from labkit.course.measures import measure
from labkit.course.progress import CourseProgress, KeptFigure
from labkit.course.text import read_texts, say
from labkit.engine.computer import read_computer
from labkit.errors import BadInput, NotFound
from labkit.lab import Lab
from labkit.language import _
from labkit.storage.bounded import MOST_NUMBER
from labkit.units import Shown, check_name
from labkit.widgets.panel import lab_of

Number: TypeAlias = float
"""A figure: of bytes, too, and so no number of seconds to `checked`."""


@checked
def keep(
    slug: str, value: Number, *, unit: str = "", spread: Number | None = None, lab: Lab | None = None
) -> KeptFigure:
    """Write a figure into the student's results; it replaces an earlier one of this computer and accelerator.

    Args:
        slug: its name. value: in its unit: "s", "B" or "" (a number).
        spread: the largest minus the smallest, where it was measured several times.
        lab: where it was measured; None: the lab `default`.

    Raises:
        BadInput: the name, the value or the unit is none.
    """
    slug = check_name(slug, what=_("result"))
    for number in (value, 0.0 if spread is None else spread):
        if type(number) not in (int, float) or not abs(number) <= MOST_NUMBER:
            raise BadInput(
                _("{value!r} is no number that can be kept.").format(value=Shown(number)),
                _("Give what was measured, such as watch.seconds."),
            )
    if unit not in UNITS:
        raise BadInput(
            _("{unit!r} is no unit of a result.").format(unit=Shown(unit)),
            _('Give "s" for seconds, "B" for bytes, or "" for a number.'),
        )
    host, accelerator = this_place(lab)
    kept = KeptFigure(
        slug=slug,
        value=float(value),
        unit=unit,
        spread=None if spread is None else float(spread),
        host=host,
        accelerator=accelerator,
        computer=read_computer().name,
    )
    return CourseProgress().record_result(kept)


@checked
def recall(slug: str, *, lab: Lab | None = None) -> KeptFigure:
    """Return a figure that was kept here; where there is none it is measured now, in at most 15 seconds.

    Raises:
        NotFound: none was kept, and it cannot be measured on its own. LabError: it could not be measured.
    """
    host, accelerator = this_place(lab)
    for kept in CourseProgress().results():
        if kept.slug == slug and kept.is_of(host, accelerator):
            return kept
    measured = measure(slug, Lab.open() if lab is None else lab)
    if measured is None:
        texts = read_texts("results")
        raise NotFound(
            _("There is no result {slug!r} of this computer yet.").format(slug=Shown(slug)),
            _("It is measured in notebook {notebook}.").format(notebook=texts[slug]["notebook"])
            if slug in texts
            else _("Keep one first: {call}.").format(call=f'keep("{slug}", …)'),
        )
    value, unit = measured
    return keep(slug, value, unit=unit, lab=lab)


def describe_result(kept: KeptFigure) -> tuple[str, str]:
    """Return what a figure is, and its value with its unit and spread, in the language in force."""
    texts = read_texts("results")
    title = say(texts[kept.slug]) if kept.slug in texts else kept.slug
    text = say_amount(kept.value, kept.unit)
    if kept.spread is not None:
        text = _("{value} (spread {spread})").format(value=text, spread=say_amount(kept.spread, kept.unit))
    return title, text


def describe_place(kept: KeptFigure, here: tuple[str, str]) -> str:
    """Return where a figure was measured that is not of this computer and accelerator.

    Args:
        here: what figures of today belong to, see `this_place`.
    """
    accelerator = kept.accelerator.upper() or "?"
    if kept.host == here[0]:
        return _("measured on this computer with {accelerator}").format(accelerator=accelerator)
    if not kept.computer:
        return _("measured on another computer with {accelerator}").format(accelerator=accelerator)
    return _("measured on {computer} with {accelerator}").format(computer=kept.computer, accelerator=accelerator)


def this_place(lab: Lab | None = None) -> tuple[str, str]:
    """Return what a figure that is measured now belongs to: which computer this is, and who runs the guests."""
    return read_computer().id, (Lab.open() if lab is None else lab_of(lab)).host.accelerator.value
