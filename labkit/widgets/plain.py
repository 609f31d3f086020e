"""An act that a cell waits for, shown over the notebook: how far it is, the time left, how to stop it.

Acts quicker than 0.3 s are never shown. The view is not an output, so nothing of it stays in the file: `view.js` lays
it over the page and takes it away.

Knows: the view. Must not know: labs, which act it is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from labkit.engine.progress import OnProgress
from labkit.language import _, language
from labkit.widgets import act_parts
from labkit.widgets.tree import Node, tag
from labkit.widgets.view import View
from labkit.widgets.work import Work, format_duration

QUICK_SECONDS = 0.3
"""Seconds; a quicker act is not shown."""

FRAME_SECONDS = 0.2
"""Seconds between two layouts."""

_lasted: dict[str, float] = {}
"""How many seconds an act took last time, by its title."""


@contextmanager
def show(title: str, bytes_copied: int = 0, cancel: threading.Event | None = None) -> Iterator[OnProgress]:
    """Show an act during a `with` block; yields the function to report progress to.

    Args:
        title: what is done. bytes_copied: how much it copies, for the estimate.
        cancel: the event that cancels the act, which an interrupt of the kernel sets; None: it cannot be cancelled.
    """
    expected = bytes_copied / act_parts.COPY_RATE if bytes_copied else _lasted.get(title)
    work = Work(label=title, expected=expected, can_cancel=cancel is not None, cancel=cancel or threading.Event())
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(work, ended), name=f"labkit act: {title}", daemon=True)
    thread.start()
    before = signal.getsignal(signal.SIGINT)
    if cancel is not None:
        signal.signal(signal.SIGINT, partial(_cancel, cancel))
    try:
        yield work.report
        _lasted[title] = work.elapsed
    finally:
        signal.signal(signal.SIGINT, before)
        ended.set()


def _cancel(cancel: threading.Event, number: int, frame: FrameType | None) -> None:
    """Cancel an act, as the Cancel button asks; a second interrupt ends the call at once."""
    if cancel.is_set():
        signal.default_int_handler(number, frame)
    cancel.set()


def _follow(work: Work, ended: threading.Event) -> None:
    """Show an act until it has ended, beginning when it is no longer quick."""
    if ended.wait(QUICK_SECONDS):
        return
    view = View(page=_render(work), on_action=lambda _action, _values: None, floats=True)
    while not ended.wait(FRAME_SECONDS):
        view.show(_render(work))
    view.close()


def _render(work: Work) -> Node:
    return tag(
        "section",
        act_parts.render_work(work),
        tag("p", " · ".join(_say_more(work)), class_="labkit-quiet"),
        class_="labkit-panel",
        lang=language(),
        aria_label=work.label,
    )


def _say_more(work: Work) -> Iterator[str]:
    """Say how long it has taken, how long it should still take, and how to stop it if there is no button."""
    yield _("{time} so far").format(time=format_duration(work.elapsed))
    if work.seconds_left is None and work.expected is not None and work.expected > work.elapsed:
        yield _("{time} left").format(time=format_duration(work.expected - work.elapsed))
    if not work.can_cancel:
        yield _("To stop it, interrupt the kernel: ■ in the tool bar.")
