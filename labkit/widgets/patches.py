"""The difference between two trees as they go to the browser, so that much less than the whole page is sent.

A tree is `[tag, attributes, children]` or text (`tree.to_json`). A patch is what turns one into the other:

    [node]                      another node instead
    [attributes, children]      attributes that changed, by name (None: gone); and either the children that
                                changed, by their place, or all children again: a number is an old child's place,
                                [number, patch] that child changed, [node] a new one

Children are matched as in `layout.js`: by tag and key, in order. Knows: trees. Must not know: what is shown.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any, TypeAlias

Tree: TypeAlias = Any
Patch: TypeAlias = list[Any]


def make_patch(before: Tree, after: Tree) -> Patch | None:
    """Return the patch that turns one tree into the other, or None if they are equal."""
    if before == after:
        return None
    if isinstance(before, str) or isinstance(after, str) or _key(before) != _key(after):
        return [after]
    attributes = {
        name: after[1].get(name)
        for name in before[1].keys() | after[1].keys()
        if before[1].get(name) != after[1].get(name)
    }
    return [attributes, _match(before[2], after[2])]


def apply_patch(before: Tree, patch: Patch) -> Tree:
    """Return the tree that a patch makes of another, as `layout.js` does; for tests, and as a definition."""
    if len(patch) == 1:
        return patch[0]
    changed, children = patch
    attributes = {name: value for name, value in {**before[1], **changed}.items() if value is not None}
    if isinstance(children, dict):
        kept = [
            apply_patch(child, children[str(at)]) if str(at) in children else child
            for at, child in enumerate(before[2])
        ]
        return [before[0], attributes, kept]
    return [before[0], attributes, [_child(before[2], each) for each in children]]


def _child(before: list[Tree], entry: int | list[Any]) -> Tree:
    if isinstance(entry, int):
        return before[entry]
    return entry[0] if len(entry) == 1 else apply_patch(before[entry[0]], entry[1])


def _match(before: list[Tree], after: list[Tree]) -> dict[str, Patch] | list[Any]:
    if [_key(child) for child in before] == [_key(child) for child in after]:
        patches = ((str(at), make_patch(*pair)) for at, pair in enumerate(zip(before, after, strict=True)))
        return {at: patch for at, patch in patches if patch is not None}
    spare: defaultdict[str, deque[int]] = defaultdict(deque)
    for at, child in enumerate(before):
        spare[_key(child)].append(at)
    entries: list[Any] = []
    for child in after:
        places = spare[_key(child)]
        if not places:
            entries.append([child])
            continue
        at = places.popleft()
        patch = make_patch(before[at], child)
        entries.append(at if patch is None else [at, patch])
    return entries


def _key(tree: Tree) -> str:
    return "#" if isinstance(tree, str) else f"{tree[0]}/{tree[1].get('key', '')}"
