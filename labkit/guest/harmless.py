"""What a terminal may be shown of a guest's stream: everything that it obeys in silence, nothing that it answers.

The terminal of every viewer, also of later ones, would answer a query, and the guest would take the answers for typing;
and the sender of some queries can choose the answer (a title, a colour, the clipboard). Terminals know many queries and
new ones are added, so this module lists what may pass, not what may not.

Knows: what terminals obey (xterm's "Control Sequences", xterm.js). Must not know: where the stream comes from.
"""

from __future__ import annotations

import re
from typing import Final

from labkit.guest.escapes import Escape, Parser, Part, Plain, Sequence, String

_ENQ = b"\x05"

_ESCAPES: Final = {
    b"": b"6789=>DEHMNOVWc\\lmno|}~",  # save, restore and move the cursor; keypad; tabs; character sets; full reset
    b"#": b"34568",  # line sizes, a test pattern
}
_CHARACTER_SETS: Final = re.compile(rb"[()*+.][!-/]?|[-/]")

_SEQUENCES: Final = {
    (b"", b""): b"@ABCDEFGHIJKLMPSTXZ`abdefghjklmrsu",  # cursor, erasing, scrolling, colours, modes
    (b"?", b""): b"JKWhlrs",
    (b">", b""): b"mu",  # how keys are reported
    (b"<", b""): b"u",
    (b"=", b""): b"u",
    (b"", b" "): b"@Aq",  # scrolling sideways, the cursor's shape
    (b"", b"!"): b"p",  # a soft reset
    (b"", b'"'): b"pq",
    (b"", b"#"): b"PQpq{}",  # colours saved and restored
    (b"", b"$"): b"rtvxz{",  # areas
    (b"", b"*"): b"x",
    (b"", b"'"): b"}~",
}
"""The last bytes of sequences that are obeyed in silence, by private mark and intermediates."""

_TITLES_KEPT: Final = re.compile(rb"2[23](?:;[0-9]*)?")

_TOLD_AT_ONCE: Final = (b"1004", b"2031", b"2048")
"""Modes in which a terminal reports by itself: its focus, its colours, its size."""

_STRINGS: Final = re.compile(
    rb"(?:[0127]|8|133);.*|(?:4|5|1[0-9]);(?!.*\?).*|10[45](?:;.*)?|11[0-9](?:;.*)?", re.DOTALL
)
"""Texts for the terminal that may pass: titles, folders, links, prompt marks; colours, if set and not queried."""

_CONTROL_CODE: Final = re.compile("[\x80-\x9f]")


class WithoutQueries:
    """Removes from a stream what a terminal would answer, wherever the stream is cut."""

    def __init__(self) -> None:
        self._parser = Parser()

    def __call__(self, data: bytes) -> bytes:
        """Return the next bytes without queries; an unfinished sequence comes with the bytes that end it."""
        return b"".join(map(_show, self._parser.feed(data)))


def _show(part: Part) -> bytes:
    """The bytes of a part in seven-bit form, or none."""
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
