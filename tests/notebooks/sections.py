"""The sections of a notebook, and which names of code cross from one into another.

A section begins with a heading of the second or third order. What stands before the first one is the set-up.
"""

from __future__ import annotations

import ast
import builtins
import re

from nbformat import NotebookNode

SETUP = "setup"
"""Stands for what comes before the first section."""


def section_cells(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Return the code cells of each section that has some, by the id of the cell with its heading."""
    sections: dict[str, list[NotebookNode]] = {}
    here = SETUP
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.match(r"#{2,3} ", cell.source):
            here = cell.id
        elif cell.cell_type == "code":
            sections.setdefault(here, []).append(cell)
    return sections


def crossing_names(notebook: NotebookNode) -> dict[str, list[str]]:
    """Return, for each cell, the names it uses that neither the set-up nor its own section has made before."""
    found: dict[str, list[str]] = {}
    sections = section_cells(notebook)
    known = set(dir(builtins)).union(*(names_of(cell.source)[1] for cell in sections.get(SETUP, [])))
    for section, cells in sections.items():
        here = set(known)
        for cell in cells:
            needed, made = names_of(cell.source)
            if section != SETUP and (missing := sorted(needed - here)):
                found[cell.id] = missing
            here |= made
    return found


def names_of(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell needs from others, and those that it makes."""
    visitor = _Names()
    visitor.visit(ast.parse(source))
    return visitor.needed, visitor.made


class _Names(ast.NodeVisitor):
    """Goes through code in the order in which it runs."""

    def __init__(self) -> None:
        self.needed: set[str] = set()
        self.made: set[str] = set()
        self._local: list[set[str]] = []

    def _in_order(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            (self._local[-1] if self._local else self.made).add(node.id)
        elif node.id not in self.made.union(*self._local):
            self.needed.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._in_order(node.value, *node.targets)

    def visit_For(self, node: ast.For) -> None:
        self._in_order(node.iter, node.target, *node.body)

    def visit_Import(self, node: ast.Import) -> None:
        self.made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.made |= {alias.asname or alias.name for alias in node.names}

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self._local.append(set())
        for part in node.generators:
            self._in_order(part.iter, part.target, *part.ifs)
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        self._in_order(*parts)
        self._local.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815
