"""Another kernel: a process of its own that works on a lab and can be stopped at a chosen instant.

It runs the real labkit. To be stopped, Python's own trace hook watches for the call of a function of the
engine; nothing of labkit is replaced. From there it is continued, or killed as a power cut would.
Knows: processes. Must not know: what the code it is given does.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from types import FrameType, TracebackType
from typing import Any, Self

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["labkit.lab", "labkit.hypervisor.domains", "tests.engine.kernel"])

WAIT = 150.0
"""Seconds anything may take."""

_begun: weakref.WeakSet[ForkServerProcess] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End kernels that were left when the tests were told to stop: Python would wait for one that stands still."""
    for process in list(_begun):
        process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """The moment before the `number`-th call (from 0) of a function of labkit."""

    function: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.function}.{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the code ended: the text of its `answer`, or the name and the words of its error."""

    text: str = ""
    error: str = ""
    message: str = ""
    hint: str = ""


class Kernel:
    """A process that runs code with `Lab` at hand; whatever it binds to `answer` comes back as text.

    Args:
        code: Python. stop: where it stops and waits, or None.
    """

    def __init__(self, code: str, *, stop: Instant | None = None) -> None:
        self._pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_work, args=(code, stop, theirs, dict(os.environ)))
        self.process.start()
        _begun.add(self.process)
        theirs.close()

    def wait_stopped(self) -> None:
        """Return when it has reached the instant; it is an error if it ended before."""
        message = self._receive()
        assert message == "stopped", message

    def go_on(self) -> None:
        """Let it go on from where it stopped."""
        self._pipe.send("go on")

    def answer(self) -> Answer:
        """Return how its code ended, and wait for the process to end."""
        answer = self._receive()
        assert isinstance(answer, Answer), answer
        self.process.join(WAIT)
        return answer

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.join(WAIT)

    def _receive(self) -> Any:
        assert self._pipe.poll(WAIT), "the other kernel says nothing"
        return self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.kill()
        self._pipe.close()


def _work(code: str, stop: Instant | None, pipe: Connection, environment: dict[str, str]) -> None:
    os.environ.clear()  # the server that this process came from has the one of its own beginning
    os.environ.update(environment)
    from labkit import Lab
    from labkit.errors import LabError

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    names: dict[str, Any] = {"Lab": Lab}
    if stop:
        watch = _Watch(stop, pipe)
        threading.settrace(watch)
        sys.settrace(watch)
    try:
        exec(code, names)  # noqa: S102 — the test's own code
        pipe.send(Answer(text=str(names.get("answer", ""))))
    except LabError as error:
        pipe.send(Answer(error=type(error).__name__, message=error.message, hint=error.hint))


class _Watch:
    """A trace function that stops the process before one call."""

    def __init__(self, stop: Instant, pipe: Connection) -> None:
        self.stop, self.pipe, self.left = stop, pipe, stop.number

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or frame.f_code.co_name != self.stop.function or "/labkit/" not in frame.f_code.co_filename:
            return
        if self.left == 0:
            self.pipe.send("stopped")
            self.pipe.recv()
        self.left -= 1
