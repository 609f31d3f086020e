"""Following a console's log: what was printed before, what comes, a new boot, a log put aside; queries are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.guest.follow import HISTORY_BYTES, LogFollower, WithoutQueries


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def test_who_comes_later_sees_what_was_printed(log: Path) -> None:
    follower = LogFollower(log)
    assert follower.read() == b"", "it is not there yet"
    log.write_bytes(b"x" * HISTORY_BYTES + b"login: ")
    heard = b"".join(iter(follower.read, b""))
    assert (len(heard), heard[-7:]) == (HISTORY_BYTES, b"login: ")
    with log.open("ab") as more:
        more.write(b"root")
    assert follower.read() == b"root"
    follower.close()


def test_a_new_boot_is_seen_from_its_beginning(log: Path) -> None:
    log.write_bytes(b"the first boot\n")
    follower = LogFollower(log)
    assert follower.read() == b"the first boot\n"
    log.write_bytes(b"the second\n")
    assert follower.read() == b"the second\n"
    follower.close()


def test_a_log_that_was_put_aside_is_read_to_its_end_first(log: Path) -> None:
    log.write_bytes(b"one ")
    follower = LogFollower(log)
    assert follower.read() == b"one "
    with log.open("ab") as more:
        more.write(b"two ")
    log.rename(log.with_suffix(".0"))
    log.write_bytes(b"three")
    assert b"".join(follower.read() for _time in range(3)) == b"two three"
    follower.close()


@pytest.mark.parametrize(
    "query", [b"\x1b[6n", b"\x1b[c", b"\x1b[>0c", b"\x1b[?6n", b"\x1b]11;?\x07", b"\x1bZ", b"\x05"]
)
def test_a_query_is_taken_out_wherever_it_is_cut(query: bytes) -> None:
    for cut in range(len(query) + 1):
        clean = WithoutQueries()
        heard = clean(b"# " + query[:cut]) + clean(query[cut:] + b"ls") + clean(b"")
        assert heard == b"# ls", cut


def test_colours_and_movements_stay() -> None:
    text = b"\x1b[1;34mbin\x1b[0m\r\n\x1b[2J\x1b[H\x1b]0;title\x07\x1b[?25l"
    clean = WithoutQueries()
    assert b"".join(clean(bytes([byte])) for byte in text) + clean(b"") == text
