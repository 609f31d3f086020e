"""What a terminal would show: lines printed over, erased, taken back and drawn again are told once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.guest.lines import ROWS, show_lines

PROMPT = "root@web:/root# "
SCREEN = [str(number) for number in range(ROWS + 6)]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("", []),
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("one\ntwo", ["one", "   two"]),
        ("10 %\r50 %\r100 %", ["100 %"]),
        ("wrong\rok", ["okong"]),
        ("wrong\r\x1b[Kok", ["ok"]),
        ("ls /et\x08\x1b[J\x08\x1b[Jdev", ["ls /dev"]),
        ("a\tb", ["a       b"]),
        ("\x1b[1;31mred\x1b[0m \x1b]0;a title\x07and\x1b(B plain\x1b[?25l", ["red and plain"]),
        (f"{PROMPT}\x1b[6n\r{PROMPT}\x1b[J\r{PROMPT}\x1b[J", [PROMPT]),
        (f"{PROMPT}a lo\r\nng line\x1b[1A\r{PROMPT}a long line\x1b[J", [f"{PROMPT}a long line"]),
        ("\r\n".join(SCREEN) + "\x1b[H\x1b[J# ", [*SCREEN[:6], "# "]),
        ("\r\n".join(SCREEN) + "\x1b[2;3Hx", [*SCREEN[:7], "7 x", *SCREEN[8:]]),
        ("one\x1b7\r\ntwo\x1b8 more", ["one more", "two"]),
        ("abc\x1b[2D\x1b[P", ["ac"]),
        ("abc\x1b[1K", []),
        ("a sequence that has only begun\x1b[12;", ["a sequence that has only begun"]),
        ("\x1b[9999Cfar\x1b[9999Bdown\x1b[9999Aup", None),
    ],
)
def test_what_is_shown(printed: str, shown: list[str] | None) -> None:
    lines = show_lines(printed)
    if shown is None:
        assert len(lines) <= ROWS
    else:
        assert [line.rstrip() for line in lines] == [line.rstrip() for line in shown]


@given(st.lists(st.text("ab \x00\x1b[]0123456789;?ABCDGHJKPm78\r\n\b\t\x07\x9b", max_size=12), max_size=40))
def test_whatever_is_printed_has_lines_of_a_terminal_without_control_characters(parts: list[str]) -> None:
    lines = show_lines("".join(parts))
    assert all(letter.isprintable() for line in lines for letter in line)
    assert len(lines) <= ROWS * 500
    assert not lines or lines[-1]


@given(st.lists(st.text("abc #é", max_size=30)))
def test_plain_lines_are_shown_as_they_are(lines: list[str]) -> None:
    shown = show_lines("\r\n".join([*lines, "#"]))
    assert shown == [*lines, "#"]
