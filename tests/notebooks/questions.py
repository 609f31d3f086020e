"""Write the questions of predictions into the notebooks: `./lab run python -m tests.notebooks.questions [NAME …]`.

A question and its options stand in a Markdown cell of their own above the cell that lets them be answered, so that they
are read before anything runs. They come from the catalogue (`labkit/course/texts/predictions.toml`) in the language of
the edition; what stands there by hand is written over.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit.course.question import read_question
from labkit.language import set_language
from tests.instance import ROOT
from tests.notebooks.execute import find_notebooks, read_notebook

PREDICT = re.compile(r'predict\("([a-z0-9-]+)"\)')
"""The whole source of a cell that lets a question be answered."""

say = print  # a command speaks


def with_questions(notebook: NotebookNode, language: str) -> NotebookNode:
    """Return a notebook with its questions as the catalogue has them; the one given stays as it is."""
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        asked = PREDICT.fullmatch(cell.source) if cell.cell_type == "code" else None
        if asked:
            name = f"{cell.id.removesuffix('-predict')}-question"
            if cells[-1].id == name:
                cells.pop()
            cells.append(nbformat.v4.new_markdown_cell(_question(asked[1], language), id=name))
        cells.append(cell)
    written: NotebookNode = nbformat.from_dict({**notebook, "cells": cells})
    return written


def _question(slug: str, language: str) -> str:
    set_language(language)
    try:
        return read_question(slug).markdown
    finally:
        set_language(None)


def write_questions(path: Path) -> bool:
    """Write them into a notebook, and return whether anything has changed."""
    notebook = read_notebook(path)
    written = with_questions(notebook, path.parent.name)
    if written == notebook:
        return False
    path.write_text(nbformat.writes(written) + "\n", encoding="utf-8")
    return True


def main(names: list[str]) -> int:
    """Write them into the notebooks named on the command line."""
    for path in find_notebooks(*names):
        if write_questions(path):
            say(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
