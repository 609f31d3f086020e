"""The lines of an act's file in the journal: each with a code, read within bounds.

    CODE {"act": "delete", …}      the plan
    CODE {"done": 0}               a step, when it has been carried out

A code is made of the file's name, the line's number and its text, so that no line can be put elsewhere.
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
"""Bytes of an act's file that are read."""

MOST_FOREIGN = 4 * MIB
"""Letters of a plan that is not ours that are looked into."""

END = "\n"
"""What ends a line; one without it was cut short."""

_LEAST_PARTS = 3  # of the path of a lab's folder: /, home, name


def read_lines(path: Path) -> list[str]:
    """Return the lines of an act's file, each with its end; a named pipe or a file without end is not waited for.

    Raises:
        ValueError: it is too long, or no text. OSError: the host's; a pipe, a device or a link among them.
    """
    content = read_plain(path, MOST + 1)
    if len(content) > MOST:
        raise ValueError("too long")
    return content.decode().splitlines(keepends=True)


def build_line(path: Path, number: int, text: str) -> str:
    """Return a line with its code, for its place in a file; `text_of` and `is_right` take it apart."""
    return f"{sign(_words(path, number, text))} {text}{END}"


def _words(path: Path, number: int, text: str) -> str:
    """What is signed: a line at its place, so that none can be put elsewhere."""
    return f"{path.name}\n{number}\n{text}"


def text_of(line: str) -> str:
    """Return a line without its code, where it has one."""
    return _split(line)[1]


def is_right(path: Path, number: int, line: str) -> bool:
    """Return whether this computer's labkit wrote a line, at this place of this file."""
    code, text = _split(line)
    return is_signed(_words(path, number, text), code)


def count_signed(path: Path, lines: Sequence[str]) -> int:
    """Return how many steps are reported done: lines after the first, up to one that somebody has changed.

    A last line that was cut short tells of a step that may have been done; it counts.
    """
    right = (is_right(path, number, line) for number, line in enumerate(lines, 1))
    count = sum(1 for _each in itertools.takewhile(bool, right))
    return count + (count == len(lines) - 1 and not lines[count].endswith(END))


def _split(line: str) -> tuple[str, str]:
    """A line's code and text; the code is "" where it has none."""
    code, space, text = line.removesuffix(END).partition(" ")
    return (code, text) if space and not code.startswith("{") else ("", line)


def move_plan(text: str, home: Path) -> str:
    """Return a plan's text with the folder of its lab exchanged for another: its paths are taken relative to the lab.

    Raises:
        ValueError: it is no plan's text.
    """
    document = parse_json(text, most=4 * MOST_FOREIGN)
    if not isinstance(document, dict):
        raise ValueError("no plan")  # noqa: TRY004 — it is what stands there that is wrong
    old, new = str(document.get("home", "")), str(home)
    if not os.path.isabs(old) or len(Path(old).parts) < _LEAST_PARTS:
        raise ValueError("no lab's folder")
    return json.dumps(_exchange(document, old, new))


def _exchange(value: object, old: str, new: str) -> object:
    """A value of JSON in which a folder, wherever it stands in a text, is another."""
    if isinstance(value, str):
        return new if value == old else value.replace(f"{old}/", f"{new}/")
    if isinstance(value, list):
        return [_exchange(each, old, new) for each in value]
    if isinstance(value, dict):
        return {key: _exchange(each, old, new) for key, each in value.items()}
    return value
