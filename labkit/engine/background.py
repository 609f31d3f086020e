"""Work that a session does beside everything else: it ends, soon, when the session is closed.

Knows: threads. Must not know: what is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

ENDS_WITHIN = 10.0
"""Seconds that closing waits for what is in the background; then it goes on without."""


class Background:
    """What goes on in the background of a session.

    Attributes:
        ending: set when it must end.
    """

    def __init__(self) -> None:
        self.ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, work: Callable[[threading.Event], object]) -> None:
        """Do something in the background.

        Args:
            name: of the thread; nothing is begun if one of this name is at work. work: gets the event that ends it.
        """
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self.ending.is_set() or any(thread.name == name for thread in self._threads):
            return
        thread = threading.Thread(target=work, args=(self.ending,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until nothing goes on any more; seconds."""
        for thread in [*self._threads]:
            thread.join(timeout)

    def end(self) -> None:
        """End everything."""
        self.ending.set()
        self.join(ENDS_WITHIN)
