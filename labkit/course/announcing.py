"""Who wants to hear what an exercise says: its panels in this kernel, whoever has asked, with a button or in a cell.

Knows: where the exercise is kept. Must not know: panels, any one exercise.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from labkit.course.result import Advice, Result


class Call(StrEnum):
    """What can be called, as it is written."""

    START = "start"
    CHECK = "check"
    HINT = "hint"
    SOLUTION = "solution"
    ANOTHER = "another"
    RESET = "reset"


class Speaker(Protocol):
    """An exercise, as far as it is told apart here."""

    @property
    def kept_at(self) -> Path:
        """The same for all that speak of one exercise in one lab."""


Listener: TypeAlias = Callable[[Call, Result | None, Advice | None], None]
"""Called with what was asked, how the work stands (if it was looked at), and the advice (if there was some)."""

_listeners: Final[dict[Path, list[weakref.WeakMethod[Listener]]]] = {}


def listen(speaker: Speaker, listener: Listener) -> None:
    """Call a method with whatever the exercise says from now on, on the thread that asked, while its object lives."""
    _listeners.setdefault(speaker.kept_at, []).append(weakref.WeakMethod(listener))


def announce(speaker: Speaker, call: Call, result: Result | None, advice: Advice | None = None) -> None:
    """Tell all that listen what was said."""
    waiting = _listeners.get(speaker.kept_at, [])
    heard = [(each, each()) for each in waiting]
    waiting[:] = [each for each, listener in heard if listener is not None]
    for _each, listener in heard:
        if listener is not None:
            listener(call, result, advice)
