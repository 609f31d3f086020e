"""Whether a guest stood still is told by the host's clock, and only where its spread before allows it."""

from __future__ import annotations

import threading
import time

import pytest

from labkit.course import predict
from labkit.course.question import UNTOLD
from labkit.experiments import Heartbeat
from labkit.figures import draw_beats
from labkit.machine import Machine

pytestmark = pytest.mark.alone


def test_a_guest_that_is_left_alone_does_not_stand_still(shared_guest: Machine) -> None:
    with Heartbeat(shared_guest) as heart:
        shared_guest.run("sleep 3")
        event = time.monotonic()
        shared_guest.run("sleep 4")
    assert heart.stood_still(event) is False
    assert predict("panic-neighbour").reveal(heart.stood_still(event)).observed.slug == "no"
    assert "no pause above one second stands out" in repr(draw_beats(heart.moments, event))


def test_a_guest_that_was_frozen_stood_still_though_its_own_clock_does_not_say_so(shared_guest: Machine) -> None:
    with Heartbeat(shared_guest) as heart:
        shared_guest.run("sleep 3")
        event = time.monotonic()
        shared_guest.pause()
        threading.Event().wait(4)
        shared_guest.resume()
        shared_guest.run("sleep 1")
    assert heart.lost == 0
    assert heart.stood_still(event) is True
    assert predict("panic-neighbour").reveal(heart.stood_still(event)).observed.slug == "yes"


def test_what_was_not_heard_before_cannot_be_told(shared_guest: Machine) -> None:
    event = time.monotonic()
    with Heartbeat(shared_guest) as heart:
        shared_guest.run("sleep 1")
    assert heart.stood_still(event) is None
    revealed = predict("panic-neighbour").reveal(heart.stood_still(event))
    assert revealed.observed.slug == UNTOLD
    assert "not distinguishable" in repr(revealed)
