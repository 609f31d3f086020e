"""An act that a cell waits for: shown when it takes long, never when it is quick, and taken away at its end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from ipywidgets.widgets.widget import _instances

from labkit import Lab
from labkit.engine import progress
from labkit.engine.progress import OnProgress, Progress, watch_with, watching
from labkit.errors import Cancelled
from labkit.machine import Machine
from labkit.widgets import plain
from labkit.widgets.plain import show
from labkit.widgets.view import View
from tests.widgets.waiting import eventually


@pytest.fixture
def watched() -> Iterator[None]:
    """Acts are watched as in a notebook's kernel."""
    watch_with(show)
    yield
    progress._watches.clear()


def floating() -> list[View]:
    """Return what lies over the page now."""
    return [view for view in list(_instances.values()) if isinstance(view, View) and view.floats]


def test_long_act_is_shown_with_what_it_reports_until_it_ends() -> None:
    with show("convert notes") as report:
        report(Progress(step=1, steps=1, label="writing the content as vdi", done=1024, total=4096))
        eventually(floating)
        (view,) = floating()
        eventually(lambda: "convert notes… · writing the content as vdi · 1 KiB of 4 KiB" in str(view.page))
    eventually(lambda: view.page is None)
    eventually(lambda: not floating())


def test_quick_act_is_never_shown() -> None:
    with show("create notes"):
        (thread,) = (each for each in threading.enumerate() if each.name == "labkit act: create notes")
    thread.join()
    assert floating() == []


def test_plain_call_is_watched_with_its_title_and_the_bytes_it_copies(lab: Lab) -> None:
    lab.disks.create("notes", capacity="8 MiB", format="raw", allocation="fixed")
    watched: list[tuple[str, int]] = []

    def look_on(title: str, bytes_copied: int, _cancel: threading.Event | None) -> AbstractContextManager[None]:
        watched.append((title, bytes_copied))
        return nullcontext()

    watch_with(look_on)
    try:
        lab.disks["notes"].convert("copy", format="vdi")
        lab.disks["copy"].delete()
    finally:
        progress._watches.clear()
    assert [title for title, _bytes in watched] == ["convert notes", "delete copy"]


def test_act_of_another_thread_is_the_affair_of_who_began_it(watched: None) -> None:  # noqa: ARG001
    met: list[object] = []

    def call() -> None:
        with watching("copy") as report:
            met.append(report)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert met == [None]


def test_switches_and_waiting_are_watched_too(lab: Lab, watched: None) -> None:  # noqa: ARG001
    machine = lab.create("web")
    machine.start().wait_ready()
    machine.save()
    machine.start().stop()
    assert {f"{verb} web" for verb in ("Starting", "Waiting for", "Saving")} < plain._lasted.keys()
    assert "Shutting web down" in plain._lasted


def test_first_interrupt_of_the_kernel_cancels_and_the_second_ends_the_call() -> None:
    cancel = threading.Event()
    with show("convert notes", 0, cancel):
        signal.raise_signal(signal.SIGINT)
        assert cancel.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_behind_the_commit_point_no_cancel_lies_over_the_page() -> None:
    with show("clone web", 0, threading.Event()) as report:
        report(Progress(step=2, steps=3, label="waking"))
        eventually(floating)
        (view,) = floating()
        assert "'data-action': 'cancel'" in str(view.page)
        report(Progress(step=3, steps=3, label="deleting", can_cancel=False))
        eventually(lambda: "'data-action': 'cancel'" not in str(view.page))
        signal.raise_signal(signal.SIGINT)
        eventually(lambda: "it goes on to its end" in str(view.page))


def test_what_heeds_no_cancelling_is_ended_by_the_first_interrupt() -> None:
    with show("start web"), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@contextmanager
def interrupted(title: str, bytes_copied: int, cancel: threading.Event | None) -> Iterator[OnProgress]:
    """Show an act, and interrupt the kernel as soon as it begins; a conversion, when it has copied something."""
    with show(title, bytes_copied, cancel) as report:

        def look(progress: Progress) -> None:
            report(progress)
            if progress.done and cancel is not None and not cancel.is_set():
                signal.raise_signal(signal.SIGINT)

        if not title.startswith("convert"):
            signal.raise_signal(signal.SIGINT)
        yield look


def test_interrupted_act_ends_as_a_cancelled_one_and_leaves_nothing(lab: Lab) -> None:
    lab.disks.create("notes", capacity="64 MiB", format="raw", allocation="fixed")
    watch_with(interrupted)
    try:
        with pytest.raises(Cancelled, match="was cancelled"):
            lab.disks["notes"].convert("copy", format="vdi")
    finally:
        progress._watches.clear()
    assert list(lab.disks) == ["notes"]
    assert list((lab.home / "journal").iterdir()) == []


@pytest.fixture
def deaf(lab: Lab) -> Machine:
    """A running machine whose guest never shuts down."""
    return lab.create("web", image="sector", memory="16 MiB").start()


def test_switch_that_is_interrupted_as_it_begins_does_nothing(deaf: Machine) -> None:
    watch_with(interrupted)
    try:
        for act, title in ((deaf.save, "Saving web"), (deaf.stop, "Shutting web down")):
            with pytest.raises(Cancelled, match=f"{title} was cancelled"):
                act()
            assert deaf.state == "running"
    finally:
        progress._watches.clear()


def test_interrupted_waiting_for_the_end_of_a_guest_says_that_it_was_asked(deaf: Machine, watched: None) -> None:  # noqa: ARG001
    interrupt = threading.Thread(target=interrupt_once_it_waits)
    interrupt.start()
    with pytest.raises(Cancelled, match="may still do so"):
        deaf.stop()
    interrupt.join()
    assert deaf.state == "running"


def interrupt_once_it_waits() -> None:
    """Interrupt the kernel when its main thread has asked the guest to shut down, and waits for that."""
    main = threading.main_thread().ident
    assert main is not None

    def waits() -> bool:
        stack = traceback.extract_stack(sys._current_frames()[main])
        return any(frame.name in ("_comes_to", "comes_to") for frame in stack)

    eventually(waits)
    os.kill(os.getpid(), signal.SIGINT)
