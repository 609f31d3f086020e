"""The catalogue of exercises: every class in `exercises/`, by its slug.

Knows: which exercises there are. Must not know: what any of them asks.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Final

from labkit.arguments import checked
from labkit.course import exercises
from labkit.course.exercise import Exercise
from labkit.errors import BadInput, NotFound
from labkit.lab import Lab
from labkit.language import _
from labkit.units import Shown

MODULES: Final[tuple[ModuleType, ...]] = tuple(
    importlib.import_module(f"{exercises.__name__}.{module.name}")
    for module in pkgutil.iter_modules(exercises.__path__)
)

EXERCISES: Final[dict[str, type[Exercise]]] = {
    kind.slug: kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Exercise) and "slug" in vars(kind)
}
"""All exercises by slug; a class without a slug of its own is a base of several."""

ALIASES: Final[dict[str, str]] = {kind.alias: slug for slug, kind in EXERCISES.items() if vars(kind).get("alias")}
"""The slugs of exercises by the names they had before, which go on being understood."""


@checked
def exercise(slug: str, lab: Lab | None = None) -> Exercise:
    """Return an exercise, without starting or checking it.

    Args:
        slug: its name in the course, the same in every language; an earlier one is understood, too.
        lab: where its machines are; None: the lab `default`.

    Raises:
        NotFound: the course has none of that name. BadInput: `lab` is not a lab.
    """
    slug = ALIASES.get(slug, slug)
    if slug not in EXERCISES:
        raise NotFound(
            _("There is no {slug!r} in the course.").format(slug=slug),
            _("There are: {names}.").format(names=", ".join(EXERCISES)),
        )
    if lab is not None and not isinstance(lab, Lab):
        raise BadInput(_("{lab!r} is not a lab.").format(lab=Shown(lab)), _("Give what Lab.open() returned."))
    return EXERCISES[slug](lab)


def exercise_machines() -> frozenset[str]:
    """Return the names of the machines that belong to exercises: notebooks leave them alone."""
    return frozenset(name for kind in EXERCISES.values() for name in kind().machines)


def exercise_disks() -> frozenset[str]:
    """Return the names of the free disks that belong to exercises: notebooks leave them alone."""
    return frozenset(name for kind in EXERCISES.values() for name in kind().disks)
