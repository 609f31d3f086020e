"""Time limits and cancel buttons."""

from __future__ import annotations

import threading

import pytest

from labkit.errors import Cancelled, TimedOut
from labkit.limits import NO_LIMIT, Limit


def test_without_a_limit_work_goes_on_for_ever() -> None:
    NO_LIMIT.check()
    assert not NO_LIMIT.reached
    assert NO_LIMIT.left == float("inf")


def test_a_time_limit_of_nothing_is_reached_at_once() -> None:
    with pytest.raises(TimedOut, match="Copying took longer than 0 s"):
        Limit(0, what="Copying").check()


def test_a_cancelled_limit_says_so_before_it_speaks_of_time() -> None:
    cancel = threading.Event()
    limit = Limit(0, cancel=cancel, what="Copying")
    cancel.set()
    assert limit.reached
    with pytest.raises(Cancelled, match="Copying was cancelled"):
        limit.check()
