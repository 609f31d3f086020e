"""The arguments of drawings, checked before anything is drawn, so that errors are in our words and not matplotlib's.

    @drawn
    def draw_tree(tree: SnapshotTree, ax: Axes | None = None, *, large: bool = False) -> Drawing: ...

The signature says which kind each argument is. What kinds do not say (no value at all, sizes below zero, lists of
unequal lengths) shows when it is drawn, and is `BadInput` too.

Knows: signatures. Must not know: what is drawn.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, Union

from labkit.errors import BadInput, LabError
from labkit.language import _
from labkit.units import Shown, check_text

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 2**63
"""Numbers must be below this."""

_UNFIT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The errors that Python raises if a value inside an argument does not fit."""


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Let a drawing be made only of arguments of the kinds in its signature; anything else is `BadInput`."""
    signature, name = inspect.signature(function), function.__name__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for argument, kind in _kinds(function).items():
            if argument in given and not _is_of(given[argument], kind, argument):
                raise _unfit(name, argument, given[argument])
        try:
            return function(*args, **kwargs)
        except LabError:
            raise
        except _UNFIT as error:
            argument, value = next(iter(given.items()))
            raise _unfit(name, argument, value) from error

    return call


def _unfit(name: str, argument: str, value: object) -> BadInput:
    return BadInput(
        _("{function} cannot draw this: {argument}={value!r}.").format(
            function=name, argument=argument, value=Shown(value)
        ),
        _("help({function}) says what it takes.").format(function=name),
    )


@functools.cache
def _kinds(function: Callable[..., object]) -> dict[str, Any]:
    """The kind of each argument; `_AnyAxes` for matplotlib's axes, so that it need not be loaded."""
    hints = typing.get_type_hints(function, localns={"Axes": _AnyAxes})
    return {name: kind for name, kind in hints.items() if name != "return"}


class _AnyAxes:
    """Stands for matplotlib's axes."""


def _is_of(value: object, kind: Any, argument: str) -> bool:
    """Whether a value is of a kind; the items of tables and lists are checked too, those of iterators are not."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, each, argument) for each in inner)
    if kind is str:
        return isinstance(value, str) and check_text(value, what=argument) is value
    if kind in (int, float):
        return (type(value) is int or (kind is float and type(value) is float)) and abs(value) < _MOST
    if kind is _AnyAxes:
        return hasattr(type(value), "add_artist")
    if origin is not None:
        fits = isinstance(value, origin) and not isinstance(value, str | bytes)
        return fits and all(_is_of(each, kind_of_it, argument) for each, kind_of_it in _parts(value, inner))
    return getattr(kind, "_is_protocol", False) or isinstance(value, kind)


def _parts(value: object, inner: Sequence[Any]) -> Iterator[tuple[object, Any]]:
    """The items of a table or a list, each with its required kind."""
    if isinstance(value, Mapping) and len(inner) == 2:
        yield from ((key, inner[0]) for key in value)
        yield from ((each, inner[1]) for each in value.values())
    elif isinstance(value, Collection) and len(inner) == 1:
        yield from ((each, inner[0]) for each in value)
