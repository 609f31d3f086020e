"""What of a guest's stream a terminal may be shown: all that it obeys in silence, nothing that it answers.

Every viewer's terminal would answer a question, also those who see it later, and the guest would take the answers for
typing; some answers are chosen by who asks (a title, a colour, the clipboard). Terminals know many questions and learn
new ones, so what may pass is listed, not what may not.

Knows: what terminals obey (xterm's "Control Sequences", xterm.js). Must not know: where the stream comes from.
"""

from __future__ import annotations

import re
from typing import Final

from labkit.guest.escapes import Escape, Parser, Part, Plain, Sequence, String

_ENQ = b"\x05"

_ESCAPES: Final = {
    b"": b"6789=>DEHMNOVWc\\lmno|}~",  # cursor kept, moved; keypad; tabs; character sets; all as at the beginning
    b"#": b"34568",  # sizes of lines, a test pattern
}
_CHARACTER_SETS: Final = re.compile(rb"[()*+.][!-/]?|[-/]")

_SEQUENCES: Final = {
    (b"", b""): b"@ABCDEFGHIJKLMPSTXZ`abdefghjklmrsu",  # cursor, erasing, scrolling, colours, modes
    (b"?", b""): b"JKWhlrs",
    (b">", b""): b"mu",  # how keys are sent
    (b"<", b""): b"u",
    (b"=", b""): b"u",
    (b"", b" "): b"@Aq",  # scrolling to the sides, the cursor's shape
    (b"", b"!"): b"p",  # a soft reset
    (b"", b'"'): b"pq",
    (b"", b"#"): b"PQpq{}",  # colours kept and taken back
    (b"", b"$"): b"rtvxz{",  # areas
    (b"", b"*"): b"x",
    (b"", b"'"): b"}~",
}
"""By private mark and intermediates: the last bytes of what is obeyed in silence."""

_TITLES_KEPT: Final = re.compile(rb"2[23](?:;[0-9]*)?")

_TOLD_AT_ONCE: Final = (b"1004", b"2031", b"2048")
"""Modes in which a terminal tells at once whether it is looked at, its colours, its size."""

_STRINGS: Final = re.compile(
    rb"(?:[0127]|8|133);.*|(?:4|5|1[0-9]);(?!.*\?).*|10[45](?:;.*)?|11[0-9](?:;.*)?", re.DOTALL
)
"""Titles, folders, links, marks of prompts; colours, if they are given and not asked for."""

_CONTROL_CODE: Final = re.compile("[\x80-\x9f]")


class WithoutQueries:
    """Takes from a stream what a terminal would answer, wherever the stream is cut."""

    def __init__(self) -> None:
        self._parser = Parser()

    def __call__(self, data: bytes) -> bytes:
        """Return the next bytes without queries; a sequence that has only begun comes with the bytes that end it."""
        return b"".join(map(_show, self._parser.feed(data)))


def _show(part: Part) -> bytes:
    """The bytes of a part as a terminal of seven bits writes them, or none."""
    match part:
        case Plain(data):
            return data.replace(_ENQ, b"")
        case Escape(intermediates, final):
            known = final in _ESCAPES.get(intermediates, b"") or _CHARACTER_SETS.fullmatch(intermediates)
            return b"\x1b" + intermediates + final if known else b""
        case Sequence():
            return _show_sequence(part)
        case String(kind, data):
            text = _CONTROL_CODE.sub("", data.decode(errors="replace")).encode()
            return b"\x1b]" + text + b"\x07" if kind == "]" and _STRINGS.fullmatch(text) else b""


def _show_sequence(part: Sequence) -> bytes:
    parameters = part.parameters
    if part.private == b"?" and part.final in b"hlrs":
        modes = [mode for mode in parameters.split(b";") if mode.lstrip(b"0") not in _TOLD_AT_ONCE]
        if parameters and not modes:
            return b""
        parameters = b";".join(modes)
    known = part.final in _SEQUENCES.get((part.private, part.intermediates), b"")
    if part.final == b"t" and not part.private and not part.intermediates:
        known = bool(_TITLES_KEPT.fullmatch(parameters))
    return b"\x1b[" + part.private + parameters + part.intermediates + part.final if known else b""
