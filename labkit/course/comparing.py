"""Figures side by side: what was kept in one section or notebook, beside what another one has measured.

    compare(recall("boot-time"), recall("migration-pause"))

What was kept of the same on another computer, or with another accelerator, stands below, in grey and with the name of
that computer: bars there have a measure of their own, and no relation is told of them.

Knows: kept figures, how they are drawn. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.course.amount import say_amount
from labkit.course.progress import CourseProgress, KeptFigure
from labkit.course.results import describe_place, describe_result
from labkit.errors import BadInput
from labkit.figures.amounts import Amount, draw_amounts
from labkit.figures.drawing import Drawing
from labkit.language import _
from labkit.units import Shown


def compare(*kept: KeptFigure) -> Drawing:
    """Draw figures on one axis, in the order given, and below them what was kept of the same elsewhere.

    Args:
        kept: as `recall` or `keep` returned them. The first tells which computer and accelerator are compared.

    Raises:
        BadInput: one is no such figure, or they have different units.
    """
    for each in kept:
        if not isinstance(each, KeptFigure):
            raise BadInput(
                _("{other!r} is no figure that was kept.").format(other=Shown(each)),
                _('Give what recall("…") returned.'),
            )
    if len(kept) < 2:
        raise BadInput(_("There is nothing to compare."), _("Give two figures or more."))
    if len(units := {each.unit for each in kept}) > 1:
        raise BadInput(
            _("These figures have different units: {names}.").format(names=", ".join(sorted(u or "–" for u in units))),
            _("Compare what was measured in one unit."),
        )
    here = (kept[0].host, kept[0].accelerator)
    slugs = [each.slug for each in kept]
    others = {*kept, *(each for each in CourseProgress().results() if each.slug in slugs and each.unit in units)}
    elsewhere = sorted(
        (each for each in others if not each.is_of(*here)), key=lambda each: (_place(each), slugs.index(each.slug))
    )
    return draw_amounts(
        _amounts(each for each in kept if each.is_of(*here)),
        elsewhere={
            describe_place(each, here): _amounts(other for other in elsewhere if _place(other) == _place(each))
            for each in elsewhere
        },
    )


def _place(kept: KeptFigure) -> tuple[str, str]:
    return kept.host, kept.accelerator


def _amounts(kept: Iterable[KeptFigure]) -> list[Amount]:
    return [
        Amount(
            label=describe_result(each)[0],
            value=each.value,
            words=say_amount(each.value, each.unit),
            spread=each.spread,
        )
        for each in kept
    ]
