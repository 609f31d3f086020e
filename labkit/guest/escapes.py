"""A stream for a terminal taken apart into letters, control characters and escape sequences, wherever it was cut.

A state machine after Paul Williams' diagram of the VT500 parser (https://vt100.net/emu/dec_ansi_parser), for streams in
UTF-8: the control codes from 0x80 on count if they are encoded in UTF-8, as xterm.js reads them; as single bytes they
are invalid UTF-8 and are shown as that. Each byte is looked at only once, and nothing is kept but an unfinished
sequence, up to a limit.

Knows: ECMA-48. Must not know: what a sequence does, who shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

LONGEST_SEQUENCE: Final = 256
"""The most bytes of a control sequence; a longer one is left out."""

LONGEST_STRING: Final = 4096
"""The most bytes of a text for the terminal itself, such as a title; a longer one is left out."""

_PLAIN = re.compile(
    rb"(?:[\x00-\x1a\x1c-\x7f]|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    rb"|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})+"
)
_BEGUN_LETTER = re.compile(
    rb"(?:[\xc2-\xdf]|\xe0[\xa0-\xbf]?|[\xe1-\xec\xee\xef][\x80-\xbf]?|\xed[\x80-\x9f]?|\xf0(?:[\x90-\xbf][\x80-\xbf]?)?"
    rb"|[\xf1-\xf3][\x80-\xbf]{0,2}|\xf4(?:[\x80-\x8f][\x80-\xbf]?)?)\Z"
)
_WHOLE = re.compile(rb"\x1b\[([<-?]?)([0-9:;]{0,100})([ -/]{0,3})([@-~])")
_TEXT = re.compile(rb"[ -~]+")
_CONTROL = re.compile(rb"[\x00-\x17\x19\x1c-\x1f]")
_NO_LETTER = "\ufffd".encode()

_CAN, _SUB, _ESC, _BEL = 0x18, 0x1A, 0x1B, 0x07
_STRINGS = {0x50: "P", 0x58: "X", 0x5D: "]", 0x5E: "^", 0x5F: "_"}


@dataclass(frozen=True, slots=True)
class Plain:
    """Letters and control characters, as bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Escape:
    """ESC, intermediates and a last byte: `ESC ( B`."""

    intermediates: bytes
    final: bytes


@dataclass(frozen=True, slots=True)
class Sequence:
    """A control sequence, `ESC [ ? 25 l`: a private mark or b"", parameters, intermediates, a last byte."""

    private: bytes
    parameters: bytes
    intermediates: bytes
    final: bytes


@dataclass(frozen=True, slots=True)
class String:
    """A text for the terminal itself, of the kind "]" (OSC), "P" (DCS), "X", "^" or "_"."""

    kind: str
    data: bytes


Part: TypeAlias = Plain | Escape | Sequence | String


class Parser:
    """Takes a stream apart, piece by piece."""

    def __init__(self) -> None:
        self._state = self._ground
        self._held = b""
        self._kind = ""
        self._kept = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[Part]:
        """Yield the parts that end in these bytes; an unfinished part comes with the bytes that end it."""
        data, place = self._held + data, 0
        self._held = b""
        while place < len(data):
            place, part = self._state(data, place)
            if part is not None:
                yield part
            if place < 0:  # an unfinished letter
                return

    # --- the states: each reads from a place on, returns the place to go on from, and a part that ended there ---------

    def _ground(self, data: bytes, place: int) -> tuple[int, Part | None]:
        if plain := _PLAIN.match(data, place):
            return plain.end(), Plain(plain[0])
        if whole := _WHOLE.match(data, place):  # the same as byte by byte, only faster
            return whole.end(), Sequence(*whole.groups())
        if data[place] == _ESC:
            return self._begin(place + 1)
        return self._take_high(data, place) or (place + 1, Plain(self._as_shown(data[place])))

    def _take_high(self, data: bytes, place: int) -> tuple[int, Part | None] | None:
        """Take a control code from 0x80 on, or hold back an unfinished letter."""
        if data[place] == 0xC2 and place + 1 < len(data) and 0x80 <= data[place + 1] <= 0x9F:
            self._begin(place)
            return self._take_second(data[place + 1] - 0x40, place + 2)
        if _BEGUN_LETTER.match(data, place):
            self._held = data[place:]
            return -1, None
        return None

    @staticmethod
    def _as_shown(byte: int) -> bytes:
        """A replacement for an invalid byte: terminals show a sign; some take bytes from 0x80 on for control codes."""
        return _NO_LETTER if byte < 0xA0 else bytes([byte])

    def _begin(self, place: int) -> tuple[int, None]:
        """Begin after an ESC."""
        self._state, self._too_long = self._escape, False
        self._kept.clear()
        return place, None

    def _escape(self, data: bytes, place: int) -> tuple[int, Part | None]:
        byte = data[place]
        if taken := self._take_control(byte, place):
            return taken
        if 0x20 <= byte <= 0x2F:
            self._keep(data[place : place + 1], LONGEST_SEQUENCE)
            return place + 1, None
        if not self._kept:
            return self._take_second(byte, place + 1)
        self._state = self._ground
        return place + 1, self._ended(Escape(bytes(self._kept), bytes([byte])))

    def _take_second(self, byte: int, place: int) -> tuple[int, Part | None]:
        """Take the byte after an ESC, which says what begins."""
        if byte == 0x5B:
            self._state = self._sequence
            return place, None
        if byte in _STRINGS:
            self._kind, self._state = _STRINGS[byte], self._string
            return place, None
        self._state = self._ground
        return place, Escape(b"", bytes([byte]))

    def _sequence(self, data: bytes, place: int) -> tuple[int, Part | None]:
        byte = data[place]
        if taken := self._take_control(byte, place):
            return taken
        if byte < 0x40:
            self._keep(data[place : place + 1], LONGEST_SEQUENCE)
            return place + 1, None
        self._state = self._ground
        return place + 1, self._ended(_read_sequence(bytes(self._kept), bytes([byte])))

    def _string(self, data: bytes, place: int) -> tuple[int, Part | None]:
        byte = data[place]
        if byte in (_CAN, _SUB):
            self._state = self._ground
            return place + 1, None
        is_end = byte == _BEL and self._kind == "]"
        if is_end or byte == _ESC or data.startswith(b"\xc2\x9c", place):
            part = self._ended(String(self._kind, bytes(self._kept)))
            self._state = self._string_end if byte == _ESC else self._ground
            return place + (2 if byte == 0xC2 else 1), part
        if byte == 0xC2 and place + 1 == len(data):
            self._held = data[place:]
            return -1, None
        if byte == 0xC2 and 0x80 <= data[place + 1] <= 0x9F:
            self._state = self._ground  # another control code: something else begins
            return place, None
        text = _TEXT.match(data, place)
        end = text.end() if text else place + 1
        if not _CONTROL.match(data, place):
            self._keep(data[place:end], LONGEST_STRING)
        return end, None

    def _string_end(self, data: bytes, place: int) -> tuple[int, Part | None]:
        """After the ESC that has ended a text: a backslash follows, or something else begins."""
        self._begin(place)
        if data[place] == 0x5C:
            self._state = self._ground
            return place + 1, None
        return place, None

    def _take_control(self, byte: int, place: int) -> tuple[int, Part | None] | None:
        """Take a control character inside a sequence: most are obeyed at once, some end it or begin a new one."""
        if byte == _ESC:
            return self._begin(place + 1)
        if byte in (_CAN, _SUB):
            self._state = self._ground
            return place + 1, None
        if byte >= 0x80:
            self._state = self._ground
            return place, None
        if byte < 0x20 or byte == 0x7F:
            return place + 1, Plain(bytes([byte])) if byte != 0x7F else None
        return None

    def _keep(self, some: bytes, most: int) -> None:
        if len(self._kept) + len(some) <= most:
            self._kept += some
        else:
            self._too_long = True

    def _ended(self, part: Part | None) -> Part | None:
        return None if self._too_long else part


_INSIDE = re.compile(rb"([<-?]?)([0-9:;]*)([ -/]*)")


def _read_sequence(inside: bytes, final: bytes) -> Sequence | None:
    """The sequence, or None if its marks are in an order without a meaning, so that terminals ignore it."""
    match = _INSIDE.fullmatch(inside)
    return Sequence(match[1], match[2], match[3], final) if match and final != b"\x7f" else None
