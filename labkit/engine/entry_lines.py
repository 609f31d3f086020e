"""The lines of an act's file in the journal: each is signed with a code, and they are read within limits.

    CODE {"act": "delete", …}      the plan
    CODE {"done": 0}               a step that has been carried out

A code is made from the file's name, the line's number and its text, so that no line can be moved to another place.
Knows: the form of lines. Must not know: what plans and steps are.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from labkit.engine.signing import is_signed, sign
from labkit.storage.bounded import parse_json
from labkit.storage.plain import read_plain
from labkit.units import MIB

MOST = 64 * MIB
"""The most bytes of an act's file."""

MOST_FOREIGN = 4 * MIB
"""The most letters of a plan that is not ours in which paths are exchanged."""

END = "\n"
"""The end of a line; a line without it was cut short."""

_LEAST_PARTS = 3  # parts of the path of a lab's folder: /, home, name


def read_lines(path: Path) -> list[str]:
    """Return the lines of an act's file, with their ends; this never waits, not even for a pipe.

    Raises:
        ValueError: it is too long, or not text. OSError: it cannot be read, or is a pipe, a device or a link.
    """
    content = read_plain(path, MOST + 1)
    if len(content) > MOST:
        raise ValueError("too long")
    return content.decode().splitlines(keepends=True)


def build_line(path: Path, number: int, text: str) -> str:
    """Return a line with its code, for its place in a file; `text_of` and `is_right` read it."""
    return f"{sign(_words(path, number, text))} {text}{END}"


def _words(path: Path, number: int, text: str) -> str:
    """What is signed: a line together with its place."""
    return f"{path.name}\n{number}\n{text}"


def text_of(line: str) -> str:
    """Return a line without its code, if it has one."""
    return _split(line)[1]


def is_right(path: Path, number: int, line: str) -> bool:
    """Return whether this computer's labkit wrote a line at this place in this file."""
    code, text = _split(line)
    return is_signed(_words(path, number, text), code)


def count_signed(path: Path, lines: Sequence[str]) -> int:
    """Return how many steps are reported done: the lines after the first, up to one with a wrong code.

    A last line that was cut short counts, since its step may have been done.
    """
    right = (is_right(path, number, line) for number, line in enumerate(lines, 1))
    count = sum(1 for _each in itertools.takewhile(bool, right))
    return count + (count == len(lines) - 1 and not lines[count].endswith(END))


def _split(line: str) -> tuple[str, str]:
    """A line's code and text; the code is "" if there is none."""
    code, space, text = line.removesuffix(END).partition(" ")
    return (code, text) if space and not code.startswith("{") else ("", line)


def move_plan(text: str, home: Path) -> str:
    """Return a plan's text with the folder of its lab replaced by another, so that its paths are relative to the lab.

    Raises:
        ValueError: it is not the text of a plan.
    """
    document = parse_json(text, most=4 * MOST_FOREIGN)
    if not isinstance(document, dict):
        raise ValueError("no plan")  # noqa: TRY004 — it is what stands there that is wrong
    old, new = str(document.get("home", "")), str(home)
    if not os.path.isabs(old) or len(Path(old).parts) < _LEAST_PARTS:
        raise ValueError("no lab's folder")
    return json.dumps(_exchange(document, old, new))


def _exchange(value: object, old: str, new: str) -> object:
    """A JSON value in which one folder is replaced by another in every text."""
    if isinstance(value, str):
        return new if value == old else value.replace(f"{old}/", f"{new}/")
    if isinstance(value, list):
        return [_exchange(each, old, new) for each in value]
    if isinstance(value, dict):
        return {key: _exchange(each, old, new) for key, each in value.items()}
    return value
