"""Who keeps a command from ending is told from what /proc says, whatever it says."""

from __future__ import annotations

import random

from labkit.guest.holders import Holder, find_holders

# A wrapper (10) with its halves (11 keeps the output, 12 waits for 13 and 14): 13 works, 14 keeps the errors.
AT_WORK = """10 (sh) S 7 10
11 (head) S 10 10
12 (sh) S 10 10
13 (sh) S 12 10
14 (head) S 12 10
15 (server) S 13 10
lrwx------ 1 0 0 64 Nov 30 01:00 /proc/10/fd/0 -> /dev/null
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/11/fd/0 -> pipe:[100]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/12/fd/1 -> pipe:[100]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/13/fd/1 -> pipe:[100]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/13/fd/5 -> pipe:[200]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/14/fd/0 -> pipe:[200]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/15/fd/1 -> pipe:[100]
l-wx------ 1 0 0 64 Nov 30 01:00 /proc/15/fd/2 -> pipe:[200]
"""
LEFT_BEHIND = "\n".join(line for line in AT_WORK.splitlines() if "13/fd" not in line and "13 (" not in line).replace(
    "15 (server) S 13", "15 (server) S 1"
)


def test_a_command_that_is_at_work_itself_left_nothing_behind() -> None:
    assert find_holders(AT_WORK, 10) == ()


def test_what_a_command_left_in_the_background_is_named() -> None:
    assert find_holders(LEFT_BEHIND, 10) == (Holder(pid=15, name="server"),)


def test_a_guest_that_tells_nothing_or_nonsense_has_none() -> None:
    assert find_holders("", 10) == ()
    dice = random.Random(5)  # noqa: S311 — the same each time
    letters = AT_WORK + "\0\x1b9999999999999999999999"
    for _round in range(500):
        text = "".join(dice.choice(letters) for _each in range(300))
        assert isinstance(find_holders(AT_WORK[: dice.randrange(len(AT_WORK))] + text, 10), tuple)


def test_a_line_of_descent_that_goes_in_a_circle_ends() -> None:
    assert find_holders("10 (a) S 11 \n11 (b) S 10 \n", 10) == ()
