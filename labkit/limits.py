"""How long work may take, and whether somebody asked to stop it, as one value handed down.

Knows: a clock and an event. Must not know: what is being limited.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from labkit.errors import Cancelled, TimedOut
from labkit.language import _

OnBytes = Callable[[int, int], None]
"""Called with how far the work has come: bytes done, bytes in all."""


def unheard(*_told: object) -> None:
    """Ignore all reports of progress: for work that nobody watches."""


class Limit:
    """A time limit and a cancel button.

    Args:
        timeout: seconds from now, or None: no limit.
        cancel: set by whoever wants the work to stop, or None.
        what: what is being done, for the error.
    """

    def __init__(self, timeout: float | None = None, *, cancel: threading.Event | None = None, what: str = "") -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._cancel = cancel
        self._what = what

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        return float("inf") if self._end is None else self._end - time.monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancel is not None and self._cancel.is_set()

    @property
    def reached(self) -> bool:
        """Whether the work must stop now."""
        return self.cancelled or self.left <= 0

    def within(self, seconds: float) -> Limit:
        """Return a limit with the same cancel button that ends after `seconds`, or earlier if less time is left."""
        return Limit(max(0.0, min(self.left, seconds)), cancel=self._cancel, what=self._what)

    def wait(self, seconds: float) -> None:
        """Wait, at most until the work must stop.

        Raises:
            Cancelled, TimedOut: as `check`.
        """
        self.check()
        pause = max(0.0, min(self.left, seconds))
        if self._cancel is None:
            time.sleep(pause)
        else:
            self._cancel.wait(pause)
        self.check()

    def check(self) -> None:
        """Raise if the work must stop; otherwise do nothing.

        Raises:
            Cancelled: somebody asked to stop. TimedOut: the time is up.
        """
        if self.cancelled:
            raise Cancelled(_("{what} was cancelled.").format(what=self._what or _("The act")))
        if self.left <= 0:
            raise TimedOut(
                _("{what} took longer than {seconds:g} s and was stopped.").format(
                    what=self._what or _("The act"), seconds=self.timeout
                ),
                _("Give it more time with timeout=…."),
            )


NO_LIMIT = Limit()
