"""A notebook as a file: read, without what a run has left in it, told apart by what a person wrote.

Knows: the format of notebooks. Must not know: where they are, what is asked in them.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from labkit.storage.bounded import Damaged, parse_json
from labkit.storage.plain import read_plain

_MOST = 128 * 2**20
"""Bytes of a notebook that are read; pictures in outputs are most of them."""


@dataclass(frozen=True, kw_only=True)
class NotebookFile:
    """What a notebook holds.

    Attributes:
        table: its JSON, without outputs and without the numbers of its runs.
    """

    table: dict[str, Any]

    @property
    def text(self) -> str:
        """The file's text: nothing that a run has left is in it."""
        return json.dumps(self.table, ensure_ascii=False, indent=1) + "\n"

    @cached_property
    def fingerprint(self) -> str:
        """What a person wrote, as one word: equal for notebooks that differ only in how often they were run."""
        written = [[cell.get("cell_type"), cell.get("id"), source_of(cell)] for cell in self.cells]
        return hashlib.sha256(json.dumps(written).encode()).hexdigest()

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Its cells, in order."""
        cells: list[dict[str, Any]] = self.table["cells"]
        return cells

    @property
    def title(self) -> str:
        """Its first heading, or ""."""
        lines = (
            line for cell in self.cells if cell["cell_type"] == "markdown" for line in source_of(cell).splitlines()
        )
        return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")

    def named(self, function: str) -> list[str]:
        """Return what its code gives to a function of one text, in order: the slugs of predictions, of exercises."""
        found: dict[str, None] = {}
        for cell in self.cells:
            if cell["cell_type"] == "code":
                found.update(dict.fromkeys(_named_in(source_of(cell), function)))
        return list(found)

    def sections(self, function: str) -> list[tuple[str, list[str]]]:
        """Return its headings of the second order, each with what the code below it gives to a function."""
        found: list[tuple[str, list[str]]] = []
        for cell in self.cells:
            source = source_of(cell)
            if cell["cell_type"] == "markdown":
                found += [(line.removeprefix("## "), []) for line in source.splitlines() if line.startswith("## ")]
            elif found:
                below = found[-1][1]
                below += [slug for slug in _named_in(source, function) if slug not in below]
        return found


def read_notebook(path: Path) -> NotebookFile:
    """Return what a notebook's file holds.

    Raises:
        Damaged: it is no notebook. OSError: the host's.
    """
    table = parse_json(read_plain(path, _MOST + 1, follow=True), most=_MOST)
    cells = table.get("cells") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(cells, list):
        raise Damaged
    for cell in cells:
        if not isinstance(cell, dict) or not isinstance(cell.get("source"), str | list):
            raise Damaged
        if cell.get("cell_type") == "code":
            cell.update(outputs=[], execution_count=None)
    return NotebookFile(table=table)


def source_of(cell: dict[str, Any]) -> str:
    """Return what is written in a cell; a file may hold it as lines."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(map(str, source))


def _named_in(source: str, function: str) -> list[str]:
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError):  # a student may have written anything
        return []
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == function and call.args]
    given = [call.args[0] for call in calls]
    return [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
