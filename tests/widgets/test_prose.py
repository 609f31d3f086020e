"""The course's longer texts as trees: what is markup, and what stays text."""

from __future__ import annotations

import pytest

from labkit.course.exercise_panel.parts import _mark_code
from labkit.widgets.prose import render_line, render_prose
from labkit.widgets.tree import tag, to_html


def test_paragraphs_lists_and_fences() -> None:
    text = "One `vm.start()` and\n**two**.\n\n- a\n- b\n  goes on\n\n```text\nx = 1\n```\nEnd."
    assert to_html(render_prose(text)) == (
        '<div class="labkit-prose"><p>One <code>vm.start()</code> and <strong>two</strong>.</p>'
        "<ul><li>a</li><li>b goes on</li></ul><pre>x = 1</pre><p>End.</p></div>"
    )


@pytest.mark.parametrize(
    "text", ["a * b * c", "2*3*4", "<b>no</b>", "snake_case_name", "# no heading", "[link](http://x)", "** two **"]
)
def test_all_else_is_text(text: str) -> None:
    assert tag("p", *render_line(text)).text == text


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("Start it: vm.wait_ready().", "Start it: `vm.wait_ready()`."),
        ("Call ex.start(), then look.", "Call `ex.start()`, then look."),
        ("Write ex.word('leaf') with ex.write(vm, …).", "Write `ex.word('leaf')` with `ex.write(vm, …)`."),
        ("there is no file /root/mark.", "there is no file `/root/mark`."),
        ("`vm` is there: vm.state", "`vm` is there: vm.state"),
        ("and/or 1/2", "and/or 1/2"),
    ],
)
def test_calls_and_paths_in_a_hint_are_code(text: str, marked: str) -> None:
    assert _mark_code(text) == marked
