"""The catalogue of exercises: every class in `exercises/`, by its slug, and the list of them for students.

Knows: which exercises there are. Must not know: what any of them asks.
"""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from labkit.arguments import checked
from labkit.course.exercise import Exercise
from labkit.course.result import Stand
from labkit.course.text import read_texts, say, say_near
from labkit.errors import BadInput, LabError, NotFound
from labkit.lab import Lab
from labkit.language import _
from labkit.units import Shown
from labkit.widgets.tree import tag, to_html

PACKAGE: Final = importlib.import_module("labkit.course.exercises")
"""Where they are; `labkit.course.exercises` is the function, for students."""

MODULES: Final[tuple[ModuleType, ...]] = tuple(
    importlib.import_module(f"{PACKAGE.__name__}.{module.name}") for module in pkgutil.iter_modules(PACKAGE.__path__)
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
            say_near(slug, (*EXERCISES, *ALIASES), all_by="exercises()"),
        )
    if lab is not None and not isinstance(lab, Lab):
        raise BadInput(_("{lab!r} is not a lab.").format(lab=Shown(lab)), _("Give what Lab.open() returned."))
    return EXERCISES[slug](lab)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An exercise in the list: its id, its title, the number of its notebook; how it stands (None: not known)."""

    slug: str
    title: str
    notebook: str
    stand: Stand | None = None

    @property
    def word(self) -> str:
        """How it stands, in a word."""
        return self.stand.word if self.stand else ""


class ExerciseList(tuple[Listed, ...]):
    """The exercises of the course, in its order; shown as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        wide = max((len(each.slug) for each in self), default=0)
        word = max((len(each.word) for each in self), default=0)
        return "\n".join(
            f"{each.notebook}  {each.slug:{wide}}  {each.word:{word}}  {each.title}".rstrip() for each in self
        )

    def _repr_html_(self) -> str:
        rows = [
            tag(
                "tr",
                tag("td", each.notebook),
                tag("td", tag("code", each.slug)),
                tag("td", each.word),
                tag("td", each.title),
            )
            for each in self
        ]
        return to_html(tag("table", tag("tbody", *rows)))


def exercises(lab: Lab | None = None) -> ExerciseList:
    """Return the exercises, with id, how they stand, and title, in the order of the course.

    Args:
        lab: where their machines are looked for; None: the lab `default`. If that cannot be opened, only what is done
            is known.
    """
    with suppress(LabError):
        lab = lab or Lab.open()
    texts = read_texts("exercises")
    listed = [
        Listed(slug=slug, title=say(text["title"]), notebook=text["notebook"], stand=_stand(slug, lab))
        for slug, text in texts.items()
    ]
    return ExerciseList(sorted(listed, key=lambda each: each.notebook))


def _stand(slug: str, lab: Lab | None) -> Stand | None:
    found = EXERCISES[slug](lab)
    if lab is not None:
        return found.stand((*lab.machines, *lab.disks))
    return Stand.DONE if found.is_done else None


def exercise_machines() -> frozenset[str]:
    """Return the names of the machines that belong to exercises: notebooks leave them alone."""
    return frozenset(name for kind in EXERCISES.values() for name in kind().machines)


def exercise_disks() -> frozenset[str]:
    """Return the names of the free disks that belong to exercises: notebooks leave them alone."""
    return frozenset(name for kind in EXERCISES.values() for name in kind().disks)
