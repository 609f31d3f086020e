"""Following a console's log: what was printed before, what comes, a new boot, a log put aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.guest.follow import HISTORY_BYTES, LogFollower
from labkit.storage.plain import open_plain


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def test_who_comes_later_sees_what_was_printed(log: Path) -> None:
    follower = LogFollower(log, open_plain)
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
    follower = LogFollower(log, open_plain)
    assert follower.read() == b"the first boot\n"
    log.write_bytes(b"the second\n")
    assert follower.read() == b"the second\n"
    follower.close()


def test_a_log_that_was_put_aside_is_read_to_its_end_first(log: Path) -> None:
    log.write_bytes(b"one ")
    follower = LogFollower(log, open_plain)
    assert follower.read() == b"one "
    with log.open("ab") as more:
        more.write(b"two ")
    log.rename(log.with_suffix(".0"))
    log.write_bytes(b"three")
    assert b"".join(follower.read() for _time in range(3)) == b"two three"
    follower.close()
