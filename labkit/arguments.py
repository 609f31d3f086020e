"""Arguments of public calls, checked against the signatures of the functions called: one place for all calls.

    @checked
    def wait_ready(self, *, timeout: float = 120) -> Machine: ...

A `str` must be text that can be stored, a `float` a number of seconds, a `bool` True or False and nothing else.
Anything wrong raises `BadInput` before anything is done. What an annotation does not say (sizes, names, choices) is
checked by the called function itself.

Knows: annotations. Must not know: which calls there are.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from labkit.errors import BadInput
from labkit.language import _
from labkit.model.state import LabState
from labkit.units import Shown, check_flag, check_path, check_seconds, check_text, check_whole

P = ParamSpec("P")
R = TypeVar("R")

Check = Callable[[Any, str], object]


def _is_event(value: object, what: str) -> None:
    if not isinstance(value, threading.Event):
        raise BadInput(
            _("{what}={value!r} is no event that can be set.").format(what=what, value=Shown(value)),
            _("Give a threading.Event(), and set it to cancel."),
        )


def _is_callable(value: object, what: str) -> None:
    if not callable(value):
        raise BadInput(
            _("{what}={value!r} cannot be called.").format(what=what, value=Shown(value)),
            _("Give a function."),
        )


def _is_state(value: object, what: str) -> None:
    if not isinstance(value, LabState):
        raise BadInput(
            _("{what}={value!r} is no state of a lab.").format(what=what, value=Shown(value)),
            _("Give lab.state."),
        )


def _is_mapping(value: object, what: str) -> None:
    if not isinstance(value, Mapping):
        raise BadInput(
            _("{what}={value!r} is no table.").format(what=what, value=Shown(value)),
            _("Give a dict."),
        )


_CHECKS: Final[Mapping[str, Check]] = {
    "str": lambda value, what: check_text(value, what=what),
    "bool": lambda value, what: check_flag(value, what=what),
    "int": lambda value, what: check_whole(value, what=what),
    "float": lambda value, what: check_seconds(value, what=what),
    "str | Path": lambda value, what: check_path(value, what=what),
    "Mapping[str, str]": _is_mapping,
    "LabState": _is_state,
    "threading.Event": _is_event,
    "OnProgress": _is_callable,
    "Callable[[Event], None]": _is_callable,
}
"""The check for each annotation; every `float` in labkit's signatures is a number of seconds."""

_OR_NONE = " | None"


class Arguments:
    """The arguments that a function takes, by their annotations.

    Args:
        kinds: checks for further annotations, or other checks for those listed here.
    """

    def __init__(self, function: Callable[..., object], kinds: Mapping[str, Check] | None = None) -> None:
        checks = {**_CHECKS, **(kinds or {})}
        self._signature = inspect.signature(function)
        self._checks: dict[str, tuple[Check, bool]] = {}
        for name, parameter in self._signature.parameters.items():
            kind = str(parameter.annotation)
            if check := checks.get(kind.removesuffix(_OR_NONE)):
                self._checks[name] = check, kind.endswith(_OR_NONE)

    def check(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Return if every argument is of its kind; arguments that the function does not have are left to Python.

        Raises:
            BadInput: one of them is not; the message names it.
        """
        try:
            given = self._signature.bind(*args, **kwargs).arguments
        except TypeError:
            return
        for name, value in given.items():
            check, may_be_none = self._checks.get(name, (None, True))
            if check and not (value is None and may_be_none):
                check(value, name)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function be called only with arguments of the kinds that its signature names."""
    return checked_by({})(function)


def checked_by(kinds: Mapping[str, Check]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Do as `checked` does, with checks for further annotations."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        arguments = Arguments(function, kinds)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            arguments.check(args, kwargs)
            return function(*args, **kwargs)

        return call

    return decorate
