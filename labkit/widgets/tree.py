"""A page as a value: elements and text, the same for the live view and for its static twin.

A panel computes a tree from the state it shows. The live view lays it out in the browser with as few changes as
possible (`layout.js`); `to_html` writes the static twin from a tree, too. Text is never markup: both escape it.

Knows: elements. Must not know: machines, ipywidgets.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from labkit.language import say_again

Child: TypeAlias = "Node | str | None"

_VOID = frozenset({"br", "hr", "input"})
_ONLY_LIVE = frozenset({"button", "form", "input", "labkit-console", "progress", "select", "svg"})
_UNFOLDED = {"details": "div", "summary": "p"}
"""A fold could get the focus, and in a static page nothing keeps its keys from the front end's commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An element of the page.

    Attributes:
        name: its tag, e.g. "div".
        attributes: by name, as text; `data-action` names what a click or a submit asks for.
        children: elements and text, in order.
    """

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: tuple[Node | str, ...] = ()

    def find(self, name: str) -> Iterator[Node]:
        """Yield this element and all below it with the tag `name`, in reading order."""
        if self.name == name:
            yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.find(name)

    @property
    def text(self) -> str:
        """All text in it, with one space between its parts."""
        parts = (child.strip() if isinstance(child, str) else child.text for child in self.children)
        return " ".join(part for part in parts if part)


def tag(element: str, /, *children: Child, **attributes: str | float | bool | None) -> Node:
    """Return an element, with its text in the language in force; whatever is None or False is left out.

    Args:
        element: its tag.
        children: elements and text.
        attributes: an underscore stands for a dash, at the end for nothing: `aria_label`, `class_`. True means present
            without a value.
    """
    return Node(
        name=element,
        attributes={
            key.removesuffix("_").replace("_", "-"): "" if value is True else str(say_again(value))
            for key, value in attributes.items()
            if value is not None and value is not False
        },
        children=tuple(
            str(say_again(child)) if isinstance(child, str) else child
            for child in children
            if child is not None and child != ""
        ),
    )


class JsonWriter:
    """Writes pages, one after the other, as `[tag, attributes, children]`, which `layout.js` reads.

    If an element with a key is the same object as on the page before, the same list object is used again: an unchanged
    row costs nothing, neither here nor when pages are compared.
    """

    def __init__(self) -> None:
        self._written: dict[int, tuple[Node, list[object]]] = {}

    def write(self, page: Node | str) -> list[object] | str:
        """Return the page as JSON."""
        written: dict[int, tuple[Node, list[object]]] = {}
        json = self._write(page, written)
        self._written = written
        return json

    def _write(self, node: Node | str, written: dict[int, tuple[Node, list[object]]]) -> list[object] | str:
        if isinstance(node, str):
            return node
        before = self._written.get(id(node))
        if before is not None and before[0] is node:
            json = before[1]
        else:
            json = [node.name, dict(node.attributes), [self._write(child, written) for child in node.children]]
        if "key" in node.attributes:
            written[id(node)] = (node, json)
        return json


def to_json(node: Node | str) -> list[object] | str:
    """Return a page as JSON; see `JsonWriter`."""
    return JsonWriter().write(node)


def to_html(node: Node | str) -> str:
    """Return the static twin: escaped, folds open, without ids, styles, actions and anything that needs a kernel."""
    if isinstance(node, str):
        return html.escape(node, quote=False)
    if node.name in _ONLY_LIVE:
        return ""
    attributes = "".join(
        f' {name}="{html.escape(value)}"' if value else f" {name}"
        for name, value in node.attributes.items()
        if name in ("class", "scope", "start")
    )
    if node.name in _VOID:
        return f"<{node.name}{attributes}>"
    name = _UNFOLDED.get(node.name, node.name)
    inside = "".join(to_html(child) for child in node.children)
    return f"<{name}{attributes}>{inside}</{name}>"
