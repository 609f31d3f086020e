"""Kernels that stay: each is a process with the lab open, which does one thing after the other as it is told.

Knows: processes, how an act ends. Must not know: which acts there are.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any

from labkit import Lab
from tests.engine.kernel import WAIT, Answer

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["labkit.lab", "labkit.hypervisor.domains", "tests.beside.workers"])


class Worker:
    """A kernel with a lab open; `tell` it what to do, then ask for the `answer`."""

    def __init__(self, lab: Lab) -> None:
        self._pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_work, args=(lab.name, str(lab.home.parent), theirs))
        self.process.start()
        theirs.close()
        assert self.answer() == Answer()

    def tell(self, code: str) -> None:
        """Let it begin with something: Python, with `lab` at hand."""
        self._pipe.send(code)

    def answer(self) -> Answer:
        """Return how that ended."""
        assert self._pipe.poll(WAIT), "the other kernel says nothing"
        answer = self._pipe.recv()
        assert isinstance(answer, Answer), answer
        return answer

    def kill(self) -> None:
        """End it with SIGKILL, whatever it is at."""
        self.process.kill()
        self.process.join(WAIT)
        self._pipe.close()

    def close(self) -> None:
        """Let it end."""
        if self.process.is_alive():
            self._pipe.send("")
            self.process.join(WAIT)
        self._pipe.close()


def _work(name: str, home: str, pipe: Connection) -> None:
    from labkit.errors import LabError

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Lab.open(name, home=home) as lab:
        pipe.send(Answer())
        while code := pipe.recv():
            names: dict[str, Any] = {"lab": lab}
            try:
                exec(code, names)  # noqa: S102 — the test's own code
                pipe.send(Answer(text=str(names.get("answer", ""))))
            except LabError as error:
                pipe.send(Answer(error=type(error).__name__, message=error.message, hint=error.hint))
            except Exception as error:  # noqa: BLE001 — what is no error of ours is the finding
                pipe.send(Answer(error=f"raw {type(error).__name__}", message=str(error)))
