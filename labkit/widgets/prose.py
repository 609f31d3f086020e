"""Longer texts in a panel: the little Markdown that the course's texts are written in, as a tree.

Paragraphs, lists, fenced code; inside a line `code`, **strong** and *emphasis*. Whatever else stands there is text: so
nothing that a student named can become markup.

Knows: trees. Must not know: what the texts say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from labkit.language import say_again
from labkit.widgets.tree import Child, Node, tag

_INLINE = re.compile(r"`([^`\n]+)`|\*\*([^*\s](?:[^*\n]*[^*\s])?)\*\*|(?<![\w*])\*([^*\s][^*\n]*)\*(?![\w*])")
_FENCE = re.compile(r"^```.*\n((?:.*\n)*?)```$", re.MULTILINE)
_ITEM = re.compile(r"^- (.*)$")


def render_prose(text: str) -> Node:
    """Return a text with its paragraphs, lists and code."""
    text = str(say_again(text))
    blocks: list[Node] = []
    end = 0
    for fence in _FENCE.finditer(text):
        blocks += _blocks(text[end : fence.start()])
        blocks.append(tag("pre", fence[1].rstrip("\n"), tabindex=0))
        end = fence.end()
    blocks += _blocks(text[end:])
    return tag("div", *blocks, class_="labkit-prose")


def render_line(text: str) -> list[Child]:
    """Return what stands in one line or paragraph: text, code, strong and emphasized words."""
    text = str(say_again(text))
    parts: list[Child] = []
    end = 0
    for found in _INLINE.finditer(text):
        parts.append(text[end : found.start()])
        code, strong, emphasized = found.groups()
        parts.append(tag("code", code) if code else tag("strong", strong) if strong else tag("em", emphasized))
        end = found.end()
    return [*parts, text[end:]]


def _blocks(text: str) -> list[Node]:
    paragraphs = [part.strip().splitlines() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return [_list(lines) if _ITEM.match(lines[0]) else tag("p", *render_line(" ".join(lines))) for lines in paragraphs]


def _list(lines: Sequence[str]) -> Node:
    items: list[str] = []
    for line in lines:
        begun = _ITEM.match(line)
        if begun:
            items.append(begun[1])
        else:
            items[-1] += f" {line.strip()}"
    return tag("ul", *[tag("li", *render_line(item)) for item in items])
