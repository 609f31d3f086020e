"""A kernel that is struck: something dies, or fails, right before the n-th thing it does to the world.

The real labkit runs in a process of its own. What it does to the world is heard of through Python's audit hook
(files opened for writing, renamed, removed, closed for writing; programs started) and its trace hook (calls of
the hypervisor that change something). Nothing of labkit is replaced. A run that is not struck tells how many
such things there are; so every instant between two of them can be tried.
Knows: processes and files. Must not know: which act it carries out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from labkit.engine import journal, locks
from labkit.hypervisor.process import find_pids
from labkit.plans.machine import plan_delete
from tests.engine import kernel
from tests.plans import states

# The server that other kernels are forked from imports this: what takes long at first is done once for all of them.
journal.load_plan(journal.dump_plan(plan_delete(states.lab(states.machine("web")), "web")))

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["labkit.lab", "labkit.hypervisor.domains", kernel.__name__, __name__])

WAIT = 150.0
"""Seconds anything may take."""

CALLS = frozenset(
    (
        *("defineXML", "undefineFlags", "setMetadata", "snapshotCreateXML", "delete", "destroy", "managedSave"),
        *("managedSaveRemove", "restoreFlags", "blockRebase", "blockCommit", "blockJobAbort"),
    )
)
"""The calls of libvirt that change something."""

CHANGES = frozenset(["os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.truncate"])
"""What Python tells of changes to files, beside opening them for writing."""


class How(StrEnum):
    """What happens: the kernel is killed, alone or with all else; something else is; a deed fails, undone or done."""

    KILL = "kill"
    POWER = "power cut"
    DAEMON = "daemon"
    GUEST = "guest"
    TOOL = "tool"
    FAIL = "fail"
    FAIL_AFTER = "fail after"


ENDS_THE_KERNEL = (How.KILL, How.POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What happens before the `number`-th effect (from 0); `victims`: processes it ends besides kernel and guest."""

    number: int
    how: How
    victims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an act ended that was not killed.

    Attributes:
        effects: what it did to the world, a label each: the step and the deed.
        error, hint: the error it raised, or empty.
    """

    effects: tuple[str, ...]
    error: str = ""
    hint: str = ""


@dataclass(slots=True, kw_only=True)
class _Ear:
    """Hears of effects, counts them, and strikes."""

    home: str
    strike: Strike | None
    armed: bool = False
    step: str = "begin"
    effects: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "subprocess.Popen":
            self._effect(Path(args[1][0]).name, _fail_to_start)
        elif event == "open":
            path, _mode, flags = args
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and self._is_ours(path):
                self._effect(f"write {Path(str(path)).suffix or Path(str(path)).name}", _run_out_of_room)
        elif event in CHANGES and (self._is_ours(args[0]) or (isinstance(args[-1], int) and args[-1] > 2)):
            self._effect(event.removeprefix("os."), _stay if event == "os.rmdir" else _run_out_of_room)

    def on_call(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if not self.armed or event != "call":
            return None
        if code.co_name == "do_step" and code.co_filename.endswith("/engine/steps/__init__.py"):
            self.step = type(frame.f_locals["step"]).__name__
        elif code.co_name == "strike_out" and code.co_filename.endswith("/engine/journal.py"):
            self.step = "end"
        elif code.co_name in CALLS and code.co_filename.endswith("/libvirt.py"):
            return self._break_on_return if self._effect(code.co_name, _break_call) else None
        return None

    def _is_ours(self, path: object) -> bool:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return text.startswith(self.home) and not text.endswith("lock")

    def _effect(self, deed: str, fail: Callable[[], None]) -> bool:
        """Count an effect and strike if it is its turn; True: it is to fail when it is done."""
        with self._lock:
            number = len(self.effects)
            self.effects.append(f"{self.step}: {deed}")
        if self.strike is None or self.strike.number != number:
            return False
        match self.strike.how:
            case How.KILL | How.POWER | How.DAEMON | How.GUEST:
                guests = find_pids(self.home) if self.strike.how in (How.GUEST, How.POWER) else []
                for victim in (*guests, *self.strike.victims):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
                if self.strike.how in ENDS_THE_KERNEL:
                    os.kill(os.getpid(), signal.SIGKILL)
            case How.TOOL:
                threading.Thread(target=_kill_child).start()
            case How.FAIL:
                fail()
            case How.FAIL_AFTER:
                return True
        return False

    @staticmethod
    def _break_on_return(_frame: FrameType, event: str, _argument: object) -> None:
        if event == "return":
            _break_call()


def _stay() -> None:
    """No host is too full to remove an empty folder."""


def _fail_to_start() -> NoReturn:
    raise OSError(errno.EAGAIN, "struck")


def _run_out_of_room() -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def _break_call() -> NoReturn:
    import libvirt

    error = libvirt.libvirtError("struck")
    error.err = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU, "struck", 2, "", "", "", 0, 0)
    raise error


def _kill_child() -> None:
    """Kill the next program this process starts, if it can be caught."""
    me = psutil.Process()
    for _ in itertools.repeat(None, 2000):
        for child in me.children():
            child.kill()
            return


def carry_out(lab: str, home: Path, request: str, strike: Strike | None = None) -> Ended | None:
    """Carry an act out in another kernel and return how it ended; None: it was killed, as the strike says.

    What it does may differ by an effect from time to time: one that ends before the strike has ended well.

    Args:
        lab: its name. home: its folder. request: Python for a plan; `vm` is the machine "web".
    """
    with _another(_act, lab, str(home), request, strike) as (process, pipe):
        if strike is not None and strike.how in ENDS_THE_KERNEL:
            process.join(WAIT)
            if process.exitcode == 0:  # it did less than when its effects were counted: its end came first
                ended = _receive(pipe)
                assert isinstance(ended, Ended), ended
                assert len(ended.effects) <= strike.number, ended
                return ended
            assert process.exitcode == -signal.SIGKILL, process.exitcode
            _wait_for_orphans(home)
            return None
        ended = _receive(pipe)
        assert isinstance(ended, Ended), ended
        return ended


def _wait_for_orphans(home: Path) -> None:
    """A tool that outlives its kernel holds the kernel's locks: the act goes on until it has ended."""
    for name in locks.every_lock(home / "locks"):
        descriptor = locks._open(locks._lock_file(home / "locks", name))
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, locks._whole_file(fcntl.F_RDLCK))
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a new kernel was told when it opened the lab, and how many seconds that took."""

    told: tuple[str, ...]
    seconds: float


def open_anew(lab: str) -> Opened:
    """Open a lab in a new kernel."""
    with _another(_open, lab) as (_process, pipe):
        opened = _receive(pipe)
        assert isinstance(opened, Opened), opened
        return opened


@contextmanager
def _another(work: Callable[..., None], *args: object) -> Iterator[tuple[Any, Connection]]:
    ours, theirs = _context.Pipe()
    process = _context.Process(target=work, args=(*args, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
        process.join(WAIT)
    finally:
        process.kill()  # also one that stands still when the tests are told to stop
        ours.close()


def _receive(pipe: Connection) -> object:
    assert pipe.poll(WAIT), "the other kernel says nothing"
    return pipe.recv()


def _act(name: str, home: str, request: str, strike: Strike | None, pipe: Connection) -> None:
    from labkit import Lab
    from labkit.errors import LabError

    ear = _Ear(home=home, strike=strike)
    threading.settrace(ear.on_call)
    with Lab.open(name) as lab:
        plan = eval(request, {"vm": lab.machines["web"], "lab": lab})  # noqa: S307 — the test's own text
        sys.addaudithook(ear.on_audit)
        sys.settrace(ear.on_call)
        ear.armed = True
        error: Exception | None = None
        try:
            lab.carry_out(plan)
        except Exception as caught:  # noqa: BLE001 — whatever leaves an act is told
            error = caught
        ear.armed = False
    hint = error.hint if isinstance(error, LabError) else f"no error of labkit: {error!r}" if error else ""
    pipe.send(Ended(effects=tuple(ear.effects), error=type(error).__name__ if error else "", hint=hint))


def _open(name: str, pipe: Connection) -> None:
    import contextlib
    import io
    import time

    from labkit import Lab

    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), Lab.open(name) as lab:
        pipe.send(Opened(told=lab.recovered, seconds=time.monotonic() - began))
