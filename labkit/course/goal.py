"""What is to be there in the end, as a tree: the points that the task asks for, which of them are there, and what else.

Knows: names. Must not know: what the points are, how they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalPoint:
    """A point of the tree.

    Attributes:
        name: its name. parent: the name of the one it comes after, or None.
        is_there: whether it is there, after that one. is_asked: whether the task asks for it.
    """

    name: str
    parent: str | None = None
    is_there: bool = False
    is_asked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The tree.

    Attributes:
        points: each after the one it comes after.
    """

    points: tuple[GoalPoint, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the points that are asked for and not there."""
        return tuple(point.name for point in self.points if point.is_asked and not point.is_there)


def compare(wanted: Mapping[str, str | None], there: Mapping[str, str | None]) -> Goal:
    """Return a goal, compared with what is there.

    Args:
        wanted, there: names, each with the one it comes after.
    """
    points = [
        GoalPoint(name=name, parent=parent, is_there=there.get(name, "") == parent) for name, parent in wanted.items()
    ]
    points += [
        GoalPoint(name=name, parent=parent, is_there=True, is_asked=False)
        for name, parent in there.items()
        if name not in wanted
    ]
    return Goal(points=tuple(_parents_first(points)))


def _parents_first(points: list[GoalPoint]) -> list[GoalPoint]:
    placed: dict[str, GoalPoint] = {}
    waiting = list(points)
    names = {point.name for point in points}
    while waiting:
        ready = [point for point in waiting if point.parent not in names or point.parent in placed]
        for point in ready or waiting:  # whatever is in a ring comes as it stands
            placed[point.name] = point
        waiting = [point for point in waiting if point.name not in placed]
    return list(placed.values())
