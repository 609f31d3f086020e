"""What is sent to the browser of a changed page: a patch that makes the new page of the old one, and not more."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from labkit.widgets.patches import apply_patch, make_patch
from labkit.widgets.tree import tag, to_json

TEXTS = st.sampled_from(["", "off", "running"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["key", "class", "title"]), TEXTS, max_size=2)


def nodes(children: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    """Return elements with some children."""
    tags = st.sampled_from(["div", "li"])
    return st.tuples(tags, ATTRIBUTES, st.lists(children, max_size=5)).map(list)


TREES = st.recursive(TEXTS, nodes, max_leaves=12)


@given(before=TREES, after=TREES)
def test_patch_makes_the_new_tree_of_the_old_one(before: object, after: object) -> None:
    patch = make_patch(before, after)
    if patch is None:
        assert before == after
    else:
        assert apply_patch(before, json.loads(json.dumps(patch))) == after


def test_one_change_in_a_long_list_is_one_short_patch() -> None:
    def page(changed: str) -> object:
        rows = [tag("li", "off", key=f"m{number}") for number in range(50)]
        rows[7] = tag("li", changed, key="m7")
        return to_json(tag("ul", *rows))

    assert make_patch(page("off"), page("running")) == [{}, {"7": [{}, {"0": ["running"]}]}]


def test_new_row_is_sent_and_the_others_are_named_by_their_places() -> None:
    rows = [tag("li", name, key=name) for name in ("a", "c")]
    new = tag("li", "b", key="b")
    patch = make_patch(to_json(tag("ul", *rows)), to_json(tag("ul", rows[0], new, rows[1])))
    assert patch == [{}, [0, [to_json(new)], 1]]
