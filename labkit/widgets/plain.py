"""An act that a cell waits for, shown beside the notebook: how far it is, how long still, how to stop it.

What is quicker than 0.3 s is never shown. Nothing of it is an output, so nothing of it stays in the file: `view.js`
lays it over the page and takes it away.

Knows: the view. Must not know: labs, which act it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.engine.progress import OnProgress
from labkit.language import _, language
from labkit.widgets import act_parts
from labkit.widgets.tree import Node, tag
from labkit.widgets.view import View
from labkit.widgets.work import Work

QUICK_SECONDS = 0.3
"""What takes no longer is not shown."""

FRAME_SECONDS = 0.2
"""The time between two layouts."""


@contextmanager
def show(title: str, bytes_copied: int = 0) -> Iterator[OnProgress]:
    """Show an act while the context is entered; yields what it reports to.

    Args:
        title: what is done. bytes_copied: how much it copies, for the estimate.
    """
    work = Work(label=title, expected=bytes_copied / act_parts.COPY_RATE if bytes_copied else None)
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(work, ended), name=f"labkit act: {title}", daemon=True)
    thread.start()
    try:
        yield work.report
    finally:
        ended.set()


def _follow(work: Work, ended: threading.Event) -> None:
    """Show it from the time on when it is no longer quick until it has ended."""
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
        tag("p", _("To stop it, interrupt the kernel: ■ in the tool bar."), class_="labkit-quiet"),
        class_="labkit-panel",
        lang=language(),
        aria_label=work.label,
    )
