"""A page as a value: what leaves out, what is escaped, what the static twin may hold."""

from __future__ import annotations

from typing import Any

from labkit.widgets.tree import JsonWriter, tag, to_html, to_json

EVIL = "<script>alert('x')</script>&"


def test_text_is_escaped_in_the_static_twin() -> None:
    assert to_html(tag("p", EVIL)) == "<p>&lt;script&gt;alert('x')&lt;/script&gt;&amp;</p>"


def test_attribute_is_escaped_in_the_static_twin() -> None:
    assert '"' not in to_html(tag("p", class_='a" onclick="x')).removeprefix('<p class="').removesuffix('"></p>')


def test_text_goes_to_the_live_view_as_it_is() -> None:
    assert to_json(tag("p", EVIL)) == ["p", {}, [EVIL]]


def test_what_is_none_or_false_is_left_out() -> None:
    assert to_json(tag("p", None, "", "a", title=None, open=False)) == ["p", {}, ["a"]]


def test_underscores_of_attributes_are_dashes() -> None:
    node = tag("button", aria_disabled="true", class_="x", open=True, max=3)
    assert dict(node.attributes) == {"aria-disabled": "true", "class": "x", "open": "", "max": "3"}


def test_static_twin_holds_nothing_that_needs_a_kernel() -> None:
    live = tag(
        "div",
        tag("button", "Start", data_action="start"),
        tag("form", tag("input", name="memory")),
        tag("svg", tag("polyline", points="0,0")),
        tag("p", "stays", id="x", data_follow=True, aria_describedby="x"),
    )
    assert to_html(live) == "<div><p>stays</p></div>"


def test_text_of_a_tree_is_in_reading_order() -> None:
    assert tag("div", tag("p", "a", tag("b", "b")), "c").text == "a b c"


def test_elements_are_found_by_tag() -> None:
    assert [node.text for node in tag("ul", tag("li", "a"), tag("li", "b")).find("li")] == ["a", "b"]


def test_element_that_stays_is_written_once() -> None:
    writer = JsonWriter()
    row, other = tag("li", "web", key="web"), tag("li", "db", key="db")
    before: Any = writer.write(tag("ul", row, other))
    after: Any = writer.write(tag("ul", row, tag("li", "mail", key="mail")))
    assert after[2][0] is before[2][0]
    assert after == to_json(tag("ul", row, tag("li", "mail", key="mail")))
