"""What an agent may answer: what it should, or one error, whatever it sends."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from labkit.errors import GuestError
from labkit.guest.answers import (
    LONGEST,
    CommandStatus,
    parse_handle,
    parse_nothing,
    parse_pid,
    parse_status,
    parse_written,
)

Parser = Callable[[str], Any]

PARSERS: dict[str, Parser] = {
    "nothing": lambda text: parse_nothing(text, subject="web"),
    "pid": lambda text: parse_pid(text, subject="web"),
    "handle": lambda text: parse_handle(text, subject="web"),
    "written": lambda text: parse_written(text, subject="web", length=4),
    "status": lambda text: parse_status(text, subject="web"),
}
RIGHT: dict[str, list[object]] = {
    "nothing": [{}],
    "pid": [{"pid": 815}],
    "handle": [1000],
    "written": [{"count": 4, "eof": False}],
    "status": [
        {"exited": False},
        {"exited": True, "exitcode": 3, "out-data": "b3V0", "err-data": "ZXJy", "out-truncated": True},
        {"exited": True, "signal": 9},
    ],
}


def answer(value: object) -> str:
    return json.dumps({"return": value})


def test_a_right_answer_is_a_value() -> None:
    read = [PARSERS[name](answer(value)) for name in ("pid", "handle", "status") for value in RIGHT[name]]
    assert read == [
        815,
        1000,
        CommandStatus(exited=False),
        CommandStatus(exited=True, exit_code=3, output=b"out", errors=b"err"),
        CommandStatus(exited=True, exit_code=128 + 9),
    ]
    PARSERS["nothing"](answer({}))
    PARSERS["written"](answer({"count": 4}))


WRONG = [
    "",
    "5",
    "[]",
    "{",
    "{}",
    "null",
    '{"return": 5.5}',
    '{"return": null}',
    '{"return": []}',
    '{"return": {"pid": "1", "exited": 1, "count": "4"}}',
    '{"return": {"pid": true, "exited": null, "count": true}}',
    '{"return": {"pid": -1, "exited": "yes", "count": 3}}',
    '{"return": {"pid": 1e999, "exited": NaN, "count": 4.5}}',
    '{"return": {"pid": ' + "9" * 5000 + ', "exited": 0}}',
    '{"return": {"exited": true, "exitcode": 1e400}}',
    '{"return": {"exited": true, "exitcode": -1}}',
    '{"return": {"exited": true, "signal": ' + "9" * 30 + "}}",
    '{"return": {"exited": true, "out-data": "===="}}',
    '{"return": {"exited": true, "out-data": "b3V0\\u0000"}}',
    '{"return": {"exited": true, "err-data": "ñ"}}',
    '{"return": {"exited": true, "err-data": 7}}',
    '{"return": ' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"return": ' + '{"a":' * 100_000,
    '{"error": {"class": "GenericError", "desc": "no"}}',
    '{"return": {"exited": true, "out-data": "' + "A" * LONGEST + '"}}',
    "\0\0\0",
    "\ud800",
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("name", PARSERS)
def test_a_wrong_answer_is_one_error_that_names_the_machine(name: str, text: str) -> None:
    with pytest.raises(GuestError, match="The agent of web answered something it should not") as caught:
        PARSERS[name](text)
    assert caught.value.hint
    assert len(caught.value.details) < 2000
    caught.value.details.encode()


def test_a_number_is_the_answer_of_one_command_only() -> None:
    for name in PARSERS.keys() - {"handle"}:
        with pytest.raises(GuestError):
            PARSERS[name]('{"return": 5}')


def test_thousands_of_random_answers_are_values_or_that_error() -> None:
    dice = random.Random(12)  # noqa: S311 — the same each time
    found = dict.fromkeys(PARSERS, 0)
    for _round in range(6000):
        name = dice.choice(list(PARSERS))
        text = _spoil(dice, answer(dice.choice(RIGHT[name] + [_random(dice, 0)])))
        try:
            value = PARSERS[name](text)
        except GuestError:
            continue
        found[name] += 1
        assert isinstance(value, {"pid": int, "handle": int, "status": CommandStatus}.get(name, type(None)))
    assert all(found.values()), found  # the right ones get through


def _random(dice: random.Random, depth: int) -> object:
    leaves = [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        10**400,
        1e308,
        "",
        "b3V0",
        "\0",
        "\ud800",
        base64.b64encode(b"x").decode(),
    ]
    kind = dice.randrange(4 if depth < 6 else 1)
    if kind == 1:
        return [_random(dice, depth + 1) for _each in range(dice.randrange(4))]
    if kind:
        names = ["pid", "exited", "exitcode", "signal", "out-data", "err-data", "count", "return", "error"]
        return {dice.choice(names): _random(dice, depth + 1) for _each in range(dice.randrange(5))}
    return dice.choice(leaves)


def _spoil(dice: random.Random, text: str) -> str:
    if dice.random() < 0.5:
        return text
    place = dice.randrange(len(text))
    return text[:place] + dice.choice(["", "\0", "}", '"', "ÿ", "9" * 400, text]) + text[place + dice.randrange(3) :]
