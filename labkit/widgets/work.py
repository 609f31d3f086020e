"""An act under way in a panel: how far it is, how long it will take, how to cancel it.

Knows: progress as numbers. Must not know: what is done, widgets.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from labkit.engine.progress import Progress
from labkit.language import _, ngettext


@dataclass(slots=True, kw_only=True)
class Work:
    """An act under way.

    Attributes:
        label: what is being done, e.g. "Starting web".
        can_cancel: whether setting `cancel` ends it, at least at the beginning.
        expected: seconds that it should take, or None if not known.
        progress: its last report, or None.
        remarks: what did not come out as planned although it was completed, a sentence each.
    """

    label: str
    can_cancel: bool = False
    expected: float | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    progress: Progress | None = None
    remarks: tuple[str, ...] = ()
    _step_began: float = field(default_factory=time.monotonic)

    def report(self, progress: Progress) -> None:
        """Take a report from the act."""
        if self.progress is None or self.progress.step != progress.step:
            self._step_began = time.monotonic()
        self.progress = progress

    @property
    def heeds_cancel(self) -> bool:
        """Whether it would heed a cancel now."""
        return self.can_cancel and (self.progress is None or self.progress.can_cancel)

    @property
    def busy(self) -> str:
        """Why no other act can be begun meanwhile."""
        return _("{act}: wait for it to end.").format(act=self.label)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float | None:
        """Bytes a second in this step, or None if not known yet."""
        seconds = time.monotonic() - self._step_began
        if self.progress is None or not self.progress.done or seconds < 0.2:
            return None
        return self.progress.done / seconds

    @property
    def seconds_left(self) -> float | None:
        """Seconds that this step still takes at its rate, or None."""
        if self.progress is None or self.rate is None or not self.progress.total:
            return None
        return max(0.0, (self.progress.total - self.progress.done) / self.rate)


def format_duration(seconds: float) -> str:
    """Return a duration as a person would say it: "4 s", "3 min", "2 h", "5 days"."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    if seconds < 90 * 60:
        return _("{minutes} min").format(minutes=round(seconds / 60))
    hours = round(seconds / 3600)
    if hours < 48:
        return _("{hours} h").format(hours=hours)
    days = round(hours / 24)
    return ngettext("{days} day", "{days} days", days).format(days=days)
