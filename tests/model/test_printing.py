"""What others have written, shown: a terminal obeys nothing of it, and a shell reads back what it was."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labkit.errors import LabError, Refused
from labkit.printing import harmless, quote, tell

OBEYED = ["\x1b[2J", "\r", "\b", "\x07", "\x9b6n", "\x7f", "\u202e", "\u200f", "\ud800", "\x00"]
"""Texts that clear a screen, go back in a line, ring, ask, or turn the direction of reading."""


@pytest.mark.parametrize("text", OBEYED, ids=ascii)
def test_what_a_terminal_obeys_is_a_question_mark(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert harmless(f"a{text}b") == f"a?{text[1:] if text[1:].isprintable() else ''}b"
    tell(f"a{text}b")
    assert text[0] not in capsys.readouterr().out
    error = Refused(f"why {text}", f"how {text}", details=f"details {text}")
    assert text[0] not in "".join((error.message, error.hint, error.details, str(error)))


@pytest.mark.parametrize("text", ["two\nlines", "a\ttable", "1\u00a0234", "1\u202f234", "año", "机器", "→ ✓ 🐧"])
def test_what_is_only_read_stays(text: str) -> None:
    assert harmless(text) == text
    assert LabError(text).message == text


@example("\ud800")
@example("a\udc80")
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=[])))
def test_whatever_is_quoted_is_one_line_of_signs_that_can_be_shown(word: str) -> None:
    assert quote(word).isprintable() or "\n" not in quote(word)


@pytest.mark.parametrize(
    "word", ["", "a b", "it's", "a\nb", "a\x1b[2Jb", "\x1bcafe", "\x7f\\'$(id)`", "\u202ea", "é\x01é"]
)
def test_a_shell_reads_back_what_was_quoted(word: str) -> None:
    told = subprocess.run(["bash", "-c", f"printf %s {quote(word)}"], capture_output=True, check=True)
    assert told.stdout.decode() == word
