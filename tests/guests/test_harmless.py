"""What a guest prints reaches a terminal without what the terminal would answer, wherever the stream is cut."""

from __future__ import annotations

import itertools
import random
import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labkit.guest.escapes import LONGEST_SEQUENCE, LONGEST_STRING
from labkit.guest.harmless import WithoutQueries

QUERIES = {
    "ENQ": b"\x05",
    "DECID": b"\x1bZ",
    "DA1": b"\x1b[c",
    "DA1 with a number": b"\x1b[0c",
    "DA2": b"\x1b[>0c",
    "DA3": b"\x1b[=c",
    "DSR": b"\x1b[5n",
    "cursor": b"\x1b[6n",
    "DECXCPR": b"\x1b[?6n",
    "printer, keys, keyboard": b"\x1b[?15n\x1b[?25n\x1b[?26n",
    "colour scheme": b"\x1b[?996n",
    "DECREQTPARM": b"\x1b[1x",
    "DECRQM": b"\x1b[4$p",
    "DECRQM private": b"\x1b[?2026$p",
    "DECRQPSR": b"\x1b[1$w",
    "DECRQTSR": b"\x1b[1$u",
    "DECRQUPSS": b"\x1b[&u",
    "DECRQCRA": b"\x1b[1;1;1;1;24;80*y",
    "DECRQLP": b"\x1b[1'|",
    "DECRQPKFM": b"\x1b[1+x",
    "XTVERSION": b"\x1b[>q",
    "XTQMODKEYS": b"\x1b[?4m",
    "XTSMGRAPHICS": b"\x1b[?1;1;0S",
    "XTREPORTSGR": b"\x1b[1;1;1;1#|",
    "XTREPORTCOLORS": b"\x1b[#R",
    "keyboard of kitty": b"\x1b[?u",
    "size of the window": b"\x1b[14t\x1b[18t\x1b[11t\x1b[13;2t",
    "title of the window": b"\x1b[21t",
    "title of the icon": b"\x1b[20t",
    "screen to the printer": b"\x1b[i",
    "looked at": b"\x1b[?1004h",
    "size told in band": b"\x1b[?2048h",
    "DECRQSS": b"\x1bP$qm\x1b\\",
    "XTGETTCAP": b"\x1bP+q544e\x1b\\",
    "keys given a meaning": b"\x1bP0;1|17/41\x1b\\",
    "graphics of kitty": b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
    "SOS, PM": b"\x1bXwhat\x1b\\\x1b^what\x1b\\",
    "a colour": b"\x1b]4;1;?\x07",
    "several colours": b"\x1b]4;1;red;2;?\x1b\\",
    "special colour": b"\x1b]5;0;?\x07",
    "foreground": b"\x1b]10;?\x07",
    "background": b"\x1b]11;?\x1b\\",
    "cursor's colour": b"\x1b]12;?\x07",
    "foreground and on": b"\x1b]10;#fff;?\x07",
    "clipboard asked": b"\x1b]52;c;?\x07",
    "clipboard given": b"\x1b]52;c;cm0gLXJmIC8K\x07",
    "font": b"\x1b]50;?\x07",
    "properties": b"\x1b]3;?name\x07",
    "iTerm": b"\x1b]1337;ReportCellSize\x07",
    "notice": b"\x1b]99;i=1:p=?;\x1b\\",
    "C1 CSI": "\x9b6n".encode(),
    "C1 CSI and C0": "\x9b\n6n".encode().replace(b"\n", b"\x00"),
    "C1 DECID": "\x9a".encode(),
    "C1 DCS": "\x90$qm\x9c".encode(),
    "C1 OSC": "\x9d11;?\x9c".encode(),
    "C1 OSC with BEL": "\x9d11;?\x07".encode(),
    "C1 APC": "\x9fGq\x9c".encode(),
    "C1 in a title": "\x1b]0;t\x9b6n".encode(),
    "OSC ended by C1": b"\x1b]11;?" + "\x9c".encode(),
    "without a limit": b"\x1b[" + b"0" * 3 * LONGEST_SEQUENCE + b"c",
    "a title without a limit": b"\x1b]0;" + b"x" * 3 * LONGEST_STRING + b"\x07",
    "parameters behind intermediates": b"\x1b[ 6n\x1b[$6p",
}

ORDINARY = [
    b"\x1b[1;34mbin\x1b[0m\r\n\x1b[2J\x1b[H\x1b]0;title?\x07\x1b[?25l",
    b"\x1b[38:2::1:2:3mred\x1b[?1049h\x1b[?2004h\x1b[?1;2004l\x1b[4 q\x1b[!p",
    b"\x1b(B\x1b)0\x1b7\x1b8\x1b=\x1b>\x1bM\x1bc\x1b#8",
    b"\x1b]4;1;rgb:1/2/3\x07\x1b]104\x07\x1b]8;;https://example.org\x07link\x1b]8;;\x07\x1b[22;2t",
    "ñandú 机器 \U0001f427 \u00a0\u00df".encode(),
    b"\x00\x07\x08\x09\x0b\x0c\x0e\x0f\x7f",
]


def clean(*pieces: bytes) -> bytes:
    stream = WithoutQueries()
    return b"".join(map(stream, pieces))


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_taken_out_wherever_it_is_cut(name: str) -> None:
    query = QUERIES[name]
    quiet = b"\x00" if b"\x00" in query else b""
    for cut in range(0, len(query) + 1, max(1, len(query) // 40)):
        assert clean(b"# " + query[:cut], b"", query[cut:] + b"ls").replace(b"\x00", b"") == b"# ls", cut
    assert clean(b"# " + query + b"ls") == b"# " + quiet + b"ls"


def test_a_query_with_control_characters_inside_leaves_only_those() -> None:
    assert clean(b"\x1b[\n6\rn\x1b[\x05c\x1b[6\x1b[6n\x1b[6\x18n") == b"\n\rn"
    assert clean(b"\x1b[3\n1m") == b"\n\x1b[31m"
    assert clean(b"\x1b]11;\x01\x02?\x07.") == b"."


@pytest.mark.parametrize("text", ORDINARY)
def test_colours_movements_and_letters_of_all_scripts_stay(text: bytes) -> None:
    assert clean(*(bytes([byte]) for byte in text)) == text
    assert clean(text) == text


def test_a_mode_that_is_told_at_once_goes_and_those_beside_it_stay() -> None:
    assert clean(b"\x1b[?1000;1004;2004h\x1b[?01004h") == b"\x1b[?1000;2004h"


def test_a_control_code_of_eight_bits_is_written_with_seven() -> None:
    assert clean("a\x9b31mb\x84\x9d0;t\x9cc".encode()) == b"a\x1b[31mb\x1bD\x1b]0;t\x07c"


def test_a_byte_that_is_no_letter_and_no_control_code_in_utf8_is_shown_as_none() -> None:
    assert clean(b"a\x9b6n\xffb") == "a\ufffd6n".encode() + b"\xffb"
    assert clean(b"\xc1\x9b6n") == b"\xc1" + "\ufffd6n".encode()  # what is too long a way to write it is no letter


CHUNKS = st.one_of(
    st.sampled_from([*QUERIES.values(), *ORDINARY]).filter(lambda text: len(text) < 100),
    st.binary(max_size=6),
    st.sampled_from(
        [b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x9b", b"\xc2", b"\x9c", b"\x18", b"\x07", b"\\", b"?", b";", b"6n"]
    ),
)


@given(st.lists(CHUNKS, max_size=12).map(b"".join), st.lists(st.integers(0, 300), max_size=8))
@example(b"\x1b]11;?\xc2\x9c", [6])
@example("\xe9\x9b".encode("latin-1"), [1])
def test_what_comes_out_does_not_depend_on_how_the_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert clean(*pieces) == clean(stream)


def test_a_fuzzed_stream_holds_nothing_that_is_answered() -> None:
    dice = random.Random(9)  # noqa: S311 — the same each time
    parts = [*QUERIES.values(), *ORDINARY, *(bytes([byte]) for byte in range(256))]
    for _round in range(3000):
        stream = b"".join(dice.choice(parts) for _each in range(dice.randrange(1, 12)))
        for _change in range(dice.randrange(4)):
            place = dice.randrange(len(stream) + 1)
            stream = stream[:place] + dice.choice(parts) + stream[place + dice.randrange(3) :]
        shown = clean(stream).decode(errors="replace")
        assert not re.search(ANSWERED, shown), (stream, shown)
        assert not any(unicodedata.category(letter) == "Cc" and letter >= "\x80" for letter in shown)
        ended = clean(stream, b"\x18.")
        assert clean(ended) == ended, "what is clean stays as it is"


ANSWERED = (
    "\x05|\x1bZ|\x1b[PX^_]|\x1b\\[[0-9:;<=>?]*(?:[cni]|\\$[pwu]|&u|\\*y|'\\||\\+x|#[|R])"
    r"|\x1b\[[0-9;]*x|\x1b\[>[0-9;]*q|\x1b\[\?[0-9;]*[umS]|\x1b\[(?!2[23][;t])[0-9;]*t"
    r"|\x1b\](?:4|5|1[0-9]);[^\x07\x1b]*\?|\x1b\](?:3|50|52|99|1337);"
)
"""A second opinion, as a pattern, of what some terminal answers."""


def test_a_flood_takes_time_in_proportion_and_little_memory() -> None:
    def seconds(stream: bytes) -> float:
        began = time.perf_counter()
        stripped = WithoutQueries()
        for start in range(0, len(stream), 65536):
            stripped(stream[start : start + 65536])
        return time.perf_counter() - began

    for kind in (b"\x1b[", b"\x1b]0;", b"\x1b", b"\xc2", b"a", b"\x9b", b"\x1b]" + b"x" * 50, b"\x1b[1;", b"0"):
        short, long = (min(seconds(kind * (size // len(kind))) for _again in range(2)) for size in (1 << 14, 1 << 17))
        assert long < 8 * 5 * short + 0.5, kind
