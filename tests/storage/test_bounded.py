"""JSON that anyone may have written: a value of strict types, or one error; soon, and with little memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
import pytest

from labkit.storage.bounded import Damaged, make_strict_converter, parse_json, read_json, structure, structure_with
from labkit.units import MIB

MOST = 32 * MIB


class Colour(StrEnum):
    """One of two."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A value within."""

    number: int = 0
    pair: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """A value of every kind that labkit's files hold."""

    text: str
    flag: bool = False
    rate: float = 0.0
    names: tuple[str, ...] = ()
    inners: tuple[Inner, ...] = ()
    by_name: Mapping[str, int] = field(default_factory=dict)
    maybe: int | None = None
    colour: Colour = Colour.RED


def test_what_is_right_is_taken_as_it_is() -> None:
    told = """{"text": "á", "flag": true, "rate": 1, "names": ["a"], "inners": [{"number": 3, "pair": ["x", null]}],
        "by_name": {"k": 7}, "maybe": null, "colour": "blue", "more": {}}"""
    assert structure(parse_json(told, most=MOST), Outer) == Outer(
        text="á",
        flag=True,
        rate=1.0,
        names=("a",),
        inners=(Inner(number=3, pair=("x", None)),),
        by_name={"k": 7},
        colour=Colour.BLUE,
    )


WRONG = {
    "no table": "[]",
    "a number for all": "5",
    "nothing": "",
    "nothing but a mark": "null",
    "a key missing": "{}",
    "a number for a text": '{"text": 5}',
    "a list for a text": '{"text": ["a"]}',
    "a number for a truth": '{"text": "", "flag": 1}',
    "a text for a number": '{"text": "", "maybe": "5"}',
    "a truth for a number": '{"text": "", "maybe": true}',
    "a fraction for a number": '{"text": "", "maybe": 5.0}',
    "a number too large": '{"text": "", "maybe": 9223372036854775808}',
    "a number of many digits": f'{{"text": "", "maybe": {"9" * 5000}}}',
    "a number that is none": '{"text": "", "rate": NaN}',
    "a text for a list": '{"text": "", "names": "abc"}',
    "a table for a list": '{"text": "", "names": {"a": 1}}',
    "a list of other things": '{"text": "", "names": [1]}',
    "a list that is too short": '{"text": "", "inners": [{"pair": ["x"]}]}',
    "a text for a pair": '{"text": "", "inners": [{"pair": "xy"}]}',
    "a text for a value": '{"text": "", "inners": ["number"]}',
    "a list for a table": '{"text": "", "by_name": [["k", 7]]}',
    "a table of other things": '{"text": "", "by_name": {"k": "7"}}',
    "a word that is none": '{"text": "", "colour": "green"}',
    "a list for a word": '{"text": "", "colour": ["red"]}',
    "half a character": '{"text": "\\ud800"}',
    "twice the same": '{"text": "a", "text": "b"}',
    "too deep": '{"text": ' + "[" * 100 + "]" * 100 + "}",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_error(what: str) -> None:
    with pytest.raises(Damaged) as error:
        structure(parse_json(WRONG[what], most=MOST), Outer)
    assert str(error.value)


def test_a_key_too_many_is_an_error_where_it_is_asked_for() -> None:
    with pytest.raises(Damaged):
        structure({"text": "", "more": 1}, Outer, extra=False)


def test_halves_of_characters_come_through_where_file_names_may_hold_them() -> None:
    line = json.dumps({"text": os.fsdecode(b"\xff")})
    told = structure_with(make_strict_converter(halves=True), parse_json(line, most=MOST), Outer)
    assert os.fsencode(told.text) == b"\xff"


LARGE = {
    "brackets": b"[" * MOST,
    "lists": b"[" + b"[]," * (MOST // 3 - 1),
    "digits": b"1" * MOST,
    "quotes": b'"' * MOST,
    "escaped quotes": b'"' + b'\\"' * (MOST // 2 - 1),
    "open escapes": b'"\\' * (MOST // 2),
    "empty texts": b'["",' + b'"",' * (MOST // 3 - 2),
    "blanks": b" " * MOST,
    "a text for a list": b'{"text": "", "names": "' + b"x" * (MOST - 40) + b'"}',
    "bytes that are no text": b"\xff" * MOST,
    "one byte more": b" " * (MOST + 1),
}


@pytest.mark.parametrize("what", LARGE)
def test_what_is_large_costs_little(what: str) -> None:
    process, text = psutil.Process(), LARGE[what]
    before, began = process.memory_info().rss, time.process_time()
    with pytest.raises(Damaged):
        structure(parse_json(text, most=MOST), Outer)
    assert time.process_time() - began < 2
    assert process.memory_info().rss - before < 5 * MOST


def test_a_file_is_read_no_further_than_it_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Damaged, match="larger than 1000 bytes"):
        read_json(path, Outer, most=1000)
    path.unlink()
    path.write_text('{"text": "here"}')
    assert read_json(path, Outer, most=1000) == Outer(text="here")
