"""Odd values of every kind, which somebody may hand to any argument of any call."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import uuid
from typing import Any


class Unspeakable:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Everything:
    """An object that answers whatever it is asked."""

    def __getattr__(self, name: str) -> Everything:
        return self

    def __call__(self, *_args: object, **_named: object) -> Everything:
        return self


class Word(str):
    """A text that is more than a text."""

    __slots__ = ()


def recursive() -> list[Any]:
    """A list that holds itself."""
    ring: list[Any] = []
    ring.append(ring)
    return ring


ODD: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "7": 7,
    "2**31": 2**31,
    "2**32 - 1": 2**32 - 1,
    "2**63 - 1": 2**63 - 1,
    "2**63": 2**63,
    "-2**63": -(2**63),
    "2**64": 2**64,
    "10**400": 10**400,
    "10**5000": 10**5000,
    "0.0": 0.0,
    "-0.5": -0.5,
    "1.5": 1.5,
    "1e308": 1e308,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "complex": 1 + 2j,
    "decimal": decimal.Decimal("1.5"),
    "fraction": fractions.Fraction(1, 3),
    "empty text": "",
    "blank": " ",
    "number as text": "60",
    "size as text": "1 MiB",
    "size too large": "9" * 400 + " TiB",
    "digits": "9" * 5000,
    "long text": "x" * 100_000,
    "NUL": "a\0b",
    "control characters": "a\x01\x1b[6n\x7f",
    "newline": "a\nb",
    "half a character": "\ud800",
    "not a character": "\uffff",
    "right to left": "\u202egnp.\u202d",
    "combining": "e" + "\u0301" * 2000,
    "emoji": "\U0001f427",
    "quotes": "'\"`$(id);&|<>\\",
    "braces": "{0.__class__}{name!r}{}",
    "percent": "%s%n%d",
    "XML": "</name><x a='&#0;'>&amp;",
    "path up": "../../../../../../etc/passwd",
    "path of a device": "/dev/null",
    "path of zeros": "/dev/zero",
    "path of no user": "~no-such-user/x",
    "path too long": "/" + "x/" * 4000,
    "name too long": "x" * 300,
    "protocol": "nbd:127.0.0.1:10809",
    "json": 'json:{"driver":"file"}',
    "url": "https://[::1",
    "option": "--help",
    "word": Word("odd-word"),
    "bytes": b"bytes",
    "bytearray": bytearray(b"x"),
    "list": [],
    "list of texts": ["a", 1],
    "ring": recursive(),
    "tuple": (1, 2),
    "dict": {"name": 1},
    "set": {1},
    "range": range(3),
    "generator": (number for number in range(3)),
    "object": object(),
    "unspeakable": Unspeakable(),
    "everything": Everything(),
    "class": int,
    "callable": print,
    "lambda": lambda: None,
    "error": ValueError("x"),
    "date": dt.date(2026, 1, 1),
    "moment": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "interval": dt.timedelta(seconds=1),
    "uuid": uuid.UUID(int=0),
    "path": pathlib.Path("/no/such/path"),
    "path of here": pathlib.Path(),
    "Ellipsis": ...,
    "NotImplemented": NotImplemented,
}
