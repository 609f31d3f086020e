"""How somebody goes astray in each exercise: three cheats and three honest mistakes at least, each of its own kind.

    @cheat("who-fell", Kind.REPLACED, says="made again")
    def the_fallen_one_is_made_again(ex: WhoFell) -> None: ...

Each is done from the exercise's start, by what a student has: the lab, the guest, virsh, qemu-img, an editor on files.
`says` stands in the sentence with which the check refuses it. The first cheat and the first mistake of each exercise
are done for real in every run, the others are judged from recordings (`python -m tests.course.record`), and all are
done for real in the long form.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Act = Callable[[Any], object]


class Kind(StrEnum):
    """What somebody does instead of the task."""

    PUBLIC_MARK = "public mark"
    """Whatever anybody can know is written where the check looks."""
    REPLACED = "replaced"
    """Another file, disk or machine stands in the place of the one that was given."""
    RENAMED = "renamed"
    """The one that was given goes on under another name, or another takes its name."""
    RESTART = "restart instead of repair"
    UNDONE = "done and undone"
    WITHOUT_THE_WAY = "the goal without the way"
    TOO_MUCH = "too much done"
    HALF_DONE = "half done"
    WRONG_ONE = "the wrong one"
    WRONG_MEANS = "the wrong means"
    NOT_YET = "not in force yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """One of them.

    Attributes:
        slug: the exercise. name: of what is done. act: does it. cheat: or an honest mistake.
        says: stands in the sentence that refuses it. mends: whether the solution still works afterwards.
    """

    slug: str
    name: str
    kind: Kind
    cheat: bool
    says: str
    act: Act
    mends: bool = True


ALL: list[Astray] = []
"""All of them, by exercise in the order of its module."""


def cheat(slug: str, kind: Kind, *, says: str) -> Callable[[Act], Act]:
    """Say that a function cheats."""
    return _noting(slug, kind, cheat=True, says=says)


def mistake(slug: str, kind: Kind, *, says: str, mends: bool = True) -> Callable[[Act], Act]:
    """Say that a function makes an honest mistake."""
    return _noting(slug, kind, cheat=False, says=says, mends=mends)


def _noting(slug: str, kind: Kind, *, cheat: bool, says: str, mends: bool = True) -> Callable[[Act], Act]:
    def note(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        ALL.append(Astray(slug=slug, name=name, kind=kind, cheat=cheat, says=says, act=act, mends=mends))
        return act

    return note


def of(slug: str, *, cheats: bool) -> list[Astray]:
    """Return the cheats, or the mistakes, of an exercise."""
    return [each for each in ALL if each.slug == slug and each.cheat is cheats]


for _module in pkgutil.iter_modules(__path__):
    if _module.name != "means":
        importlib.import_module(f"{__name__}.{_module.name}")
