"""Figures side by side: what was kept in one section or notebook, beside what another one has measured.

    compare(recall("boot-time"), recall("migration-pause"))

Knows: kept figures, how they are drawn. Must not know: how they were measured.
"""

from __future__ import annotations

from labkit.course.amount import say_amount
from labkit.course.progress import KeptFigure
from labkit.course.results import describe_result
from labkit.errors import BadInput
from labkit.figures.amounts import Amount, draw_amounts
from labkit.figures.drawing import Drawing
from labkit.language import _
from labkit.units import Shown


def compare(*kept: KeptFigure) -> Drawing:
    """Draw figures on one axis, in the order given.

    Args:
        kept: as `recall` or `keep` returned them.

    Raises:
        BadInput: one is no such figure, they have different units, or are of different computers or accelerators.
    """
    for each in kept:
        if not isinstance(each, KeptFigure):
            raise BadInput(
                _("{other!r} is no figure that was kept.").format(other=Shown(each)),
                _('Give what recall("…") returned.'),
            )
    if len(kept) < 2:
        raise BadInput(_("There is nothing to compare."), _("Give two figures or more."))
    for what, given in (
        (_("units"), {each.unit for each in kept}),
        (_("computers"), {each.host for each in kept}),
        (_("accelerators"), {each.accelerator for each in kept}),
    ):
        if len(given) > 1:
            raise BadInput(
                _("These figures have different {what}: {names}.").format(
                    what=what, names=", ".join(sorted(word or "–" for word in given))
                ),
                _("Compare what was measured in one unit, on one computer and in one way."),
            )
    return draw_amounts(
        [
            Amount(
                label=describe_result(each)[0],
                value=each.value,
                words=say_amount(each.value, each.unit),
                spread=each.spread,
            )
            for each in kept
        ]
    )
