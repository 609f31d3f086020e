"""JSON from files that anyone may have written: checked against limits first, then made a value of strict types.

    data = read_json(path, Kind, most=MIB)      a plain file of at most so many bytes, as a value of that type

Bytes, depth and the number of values are counted in the text itself, before it is parsed. Then no value is converted: a
number is not accepted as a text, nor a text as a list of its letters. Everything wrong is one error, `Damaged`, whose
text says why and becomes a part of the caller's sentence.
Knows: JSON, types. Must not know: what the values mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

from labkit.language import _
from labkit.storage.plain import read_plain

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

T = TypeVar("T")

DEEPEST = 32
"""How deep lists and tables may be nested."""

MOST_VALUES = 200_000
"""The most values that one text may hold."""

MOST_NUMBER = 2**63 - 1
"""The largest whole number that is accepted; sizes, times and counts of files are smaller."""

_TOKEN = re.compile(rb'[^\[\]{},"]*+(?:([\[\]{},])|"(?:[^"\\]++|\\.?)*+"?|\Z)', re.DOTALL)


class Damaged(ValueError):
    """The content of a file is not what it should be; the text says why, as a part of a sentence."""


def read_json(
    path: Path, kind: type[T], *, most: int, values: int = MOST_VALUES, follow: bool = False, extra: bool = True
) -> T:
    """Return what a file holds, as a value of a type.

    Args:
        kind: a dataclass, `dict[str, …]`, `list[…]`, or `object` for any JSON. most: the most bytes it may have.
        values: the most values it may hold. follow: whether a link is followed. extra: as for `structure`.

    Raises:
        Damaged: it is too large, too deep, not JSON, or of another form. OSError: it cannot be read; `NotPlain` if it
            is a pipe, a device, a folder or a link.
    """
    return structure(parse_json(read_plain(path, most + 1, follow=follow), most=most, values=values), kind, extra=extra)


def parse_json(text: bytes | str, *, most: int, values: int = MOST_VALUES, depth: int = DEEPEST) -> object:
    """Return the value of a JSON text; a repeated key or a number that is not finite is refused.

    Args:
        most: the most bytes it may have. values, depth: the most values it may hold, and how deep they may be nested.

    Raises:
        Damaged: it is too large, too deep, or not JSON.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > most:
        raise Damaged(_("it is larger than {most} bytes").format(most=most))
    _measure(data, values, depth)
    try:
        return json.loads(data, object_pairs_hook=_table, parse_constant=_refuse_constant)
    except Damaged:
        raise
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of thousands of digits
        raise Damaged(_("it is not written as it should be")) from error


def structure(value: object, kind: type[T], *, extra: bool = True) -> T:
    """Return a JSON value as a value of a type.

    Args:
        extra: whether keys that the type does not know are ignored; else they are an error.

    Raises:
        Damaged: it is of another form, or holds half a character.
    """
    made: T = structure_with(strict_converter(extra=extra), value, kind)
    return made


def structure_with(converter: JsonConverter, value: object, kind: Any) -> Any:
    """Do as `structure` does, with a converter from `make_strict_converter` that knows more types.

    Raises:
        Damaged: it is of another form.
    """
    try:
        return value if kind is object else converter.structure(value, kind)
    except Damaged:
        raise
    except Exception as error:  # converters raise many kinds of errors about their input
        raise Damaged(_("it holds something else than it should")) from error


@cache
def strict_converter(*, extra: bool = True) -> JsonConverter:
    """Return the converter of `structure`; it is shared, so nothing may be registered with it."""
    return make_strict_converter(extra=extra)


def make_strict_converter(*, extra: bool = True, halves: bool = False) -> JsonConverter:
    """Return a new converter that accepts a value only as what it is in JSON; the caller may register types with it.

    Args:
        extra: whether keys that a type does not know are ignored; else they are an error.
        halves: whether texts may hold halves of characters (lone surrogates), as names of files that are not UTF-8 do.
    """
    from cattrs.preconf.json import make_converter  # only when a file is read: it costs 30 ms

    converter = make_converter(forbid_extra_keys=not extra, detailed_validation=False)
    converter.register_structure_hook(str, _any_text if halves else _text)
    converter.register_structure_hook(bool, _truth)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_factory(_is_list, lambda kind: _list_hook(converter, kind))
    converter.register_structure_hook_factory(_is_table, lambda kind: _table_hook(converter, kind))
    return converter


def _measure(data: bytes, values: int, depth: int) -> None:
    """Count the strings, brackets and commas of a text without parsing it."""
    deep = 0
    for count, token in enumerate(_TOKEN.finditer(data)):
        if count > 4 * values:  # a value in a table has a name, itself, a comma and at most a bracket
            raise Damaged(_("it holds more than {most} values").format(most=values))
        if (sign := token[1]) in (b"[", b"{"):
            deep += 1
            if deep > depth:
                raise Damaged(_("its lists lie too deep in one another"))
        elif sign in (b"]", b"}"):
            deep -= 1


def _table(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Damaged(_("it says something twice"))
    return table


def _refuse_constant(_name: str) -> NoReturn:
    raise Damaged(_("it holds a number that is none"))


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, frozenset, set)


def _is_table(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping)


def _list_hook(converter: JsonConverter, kind: Any) -> Callable[[Any, Any], Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and inner[-1:] != (Ellipsis,):
        parts = [(each, converter.get_structure_hook(each)) for each in inner]
        return lambda value, _kind: tuple(
            hook(one, each) for one, (each, hook) in zip(_expect(value, list), parts, strict=True)
        )
    hook = converter.get_structure_hook(inner[0])
    return lambda value, _kind: origin(hook(one, inner[0]) for one in _expect(value, list))


def _table_hook(converter: JsonConverter, kind: Any) -> Callable[[Any, Any], Any]:
    of_key, of_value = get_args(kind)
    key_hook, value_hook = converter.get_structure_hook(of_key), converter.get_structure_hook(of_value)
    return lambda value, _kind: {
        key_hook(key, of_key): value_hook(one, of_value) for key, one in _expect(value, dict).items()
    }


def _expect(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise Damaged(_("it holds something else than it should"))
    return value


def _text(value: Any, kind: Any) -> str:
    try:
        _expect(value, str).encode()
    except UnicodeEncodeError as error:
        raise Damaged(_("it holds something else than it should")) from error
    return _any_text(value, kind)


def _any_text(value: Any, kind: type[str]) -> str:
    return kind(_expect(value, str))  # an enumeration's value must be a text, and one of its words


def _truth(value: Any, _kind: Any) -> bool:
    return _expect(value, bool)


def _whole(value: Any, _kind: Any) -> int:
    if abs(_expect(value, int)) > MOST_NUMBER:
        raise Damaged(_("it holds a number that is too large"))
    return int(value)


def _number(value: Any, _kind: Any) -> float:
    return float(value) if type(value) is float else float(_whole(value, int))
