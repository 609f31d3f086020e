"""A terminal on a machine's serial console: it shows what the guest prints, and sends what is typed to the guest.

What is shown comes from the console's log, so any number of terminals show the same, also what was printed before they
were opened. The serial line itself is only typed on; its output is thrown away, and only signals news in the log.

Knows: a terminal's two descriptors, the machine's line and log. Must not know: labs, Jupyter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from labkit.engine import inside
from labkit.engine.handle import Handle
from labkit.errors import GuestSilent, LabError, TimedOut, WrongState
from labkit.guest.follow import LogFollower
from labkit.guest.harmless import WithoutQueries
from labkit.hypervisor.channels import open_serial_line
from labkit.language import _
from labkit.model.architecture import X86_64
from labkit.model.machine import MachineFacts
from labkit.model.words import state_word
from labkit.storage.plain import open_plain

LEAVE = b"\x1d"  # Ctrl-]

_LOOK, _LOOK_SOON = 0.05, 0.002  # seconds
_NEWS_WITHIN = 0.1  # seconds in which output on the line appears in the log
_AFTERWARDS = 2.0  # seconds in which a machine that is off may run again (restored, or killed and started)
_SWITCHED_WITHIN = 60.0  # seconds to wait for somebody who is switching the machine
_AGENT_PAUSE = 3.0  # seconds until a silent agent is asked again
_GUEST_LINE = f"/dev/{X86_64.console}"
_KEPT_BYTES = 64 * 1024
_CHUNK = 64 * 1024


def run_terminal(machine: Handle, *, can_leave: bool = True) -> None:
    """Connect this process's terminal to a machine's console until the machine ends or Ctrl-] is typed.

    Args:
        can_leave: whether Ctrl-] leaves; else it goes to the guest like any key.

    Raises:
        WrongState: it is not running. NotFound: it was deleted.
    """
    with raw_terminal(), follow_size(machine):
        terminal = _Terminal(machine, can_leave=can_leave)
        ended = terminal.join()
        while ended:
            try:
                ended = terminal.join()
            except WrongState:
                terminal.say_goodbye()
                return


class _Terminal:
    def __init__(self, machine: Handle, *, can_leave: bool) -> None:
        self._machine = machine
        self._can_leave = can_leave
        self._clean = WithoutQueries()
        self._typed = b""

    def join(self) -> bool:
        """Connect terminal and line until one of them ends; returns whether it was the machine.

        Raises:
            WrongState: it does not run.
        """
        facts, line = self._open_soon()
        self._clean = WithoutQueries()  # drop the unfinished sequence of a guest that has ended
        try:
            return self._pump(facts, line)
        finally:
            os.close(line)

    def say_goodbye(self) -> None:
        """Say on the terminal that the machine has ended."""
        facts = self._machine.facts
        words = _("{name} is {state}.").format(name=facts.name, state=state_word(facts.state))
        _write(f"\r\n\x1b[0m[{words}]\r\n".encode())

    def _open_soon(self) -> tuple[MachineFacts, int]:
        """Open the line; wait a moment for a machine that is off, longer while somebody switches it."""
        now = time.monotonic()
        end, latest = now + _AFTERWARDS, now + _SWITCHED_WITHIN
        while True:
            try:
                return self._open()
            except WrongState:
                now = time.monotonic()
                if self._machine.is_locked:
                    end = min(now + _AFTERWARDS, latest)
                if now > end:
                    raise
            time.sleep(_LOOK)

    def _open(self) -> tuple[MachineFacts, int]:
        facts = self._machine.facts
        if not facts.is_active:
            hint = _("Start it: its console begins with it.")
            raise WrongState(_("{name} does not run.").format(name=facts.name), hint)
        line = open_serial_line(self._machine.domains, self._machine.id, subject=facts.name)
        if not self._can_leave:  # a tab has a title
            title = _("Console of {name}").format(name=facts.name)
            _write(f"\x1b]0;{title}\x07".encode())
        return facts, line

    def _pump(self, facts: MachineFacts, line: int) -> bool:
        """Pass bytes both ways; returns whether it was the machine that ended."""
        log = LogFollower(Path(facts.spec.console_log), open_plain) if facts.spec.console_log else None
        news_until = 0.0
        try:
            while True:
                soon = time.monotonic() < news_until
                ready, _free, _odd = select.select([0, line], [], [], _LOOK_SOON if soon else _LOOK)
                if 0 in ready and not self._take_typed():
                    return False
                self._type(line)
                if line in ready:
                    news_until = time.monotonic() + _NEWS_WITHIN
                    heard = _read(line)
                    if heard == b"":
                        self._show_rest(log)
                        return True
                    if log is None:
                        _write(self._clean(heard or b""))
                if log is not None:
                    self._show(log)
        finally:
            if log is not None:
                log.close()

    def _take_typed(self) -> bool:
        """Read what was typed; returns whether to go on."""
        typed = _read(0) or b""
        self._typed = (self._typed + typed)[:_KEPT_BYTES]
        return bool(typed) and not (self._can_leave and LEAVE in typed)

    def _type(self, line: int) -> None:
        """Write as much to the line as it accepts; a paused guest accepts little."""
        if self._typed:
            with contextlib.suppress(OSError):
                self._typed = self._typed[os.write(line, self._typed) :]

    def _show(self, log: LogFollower) -> bool:
        data = log.read()
        text = self._clean(data)
        if text:
            _write(text)
        return bool(data)

    def _show_rest(self, log: LogFollower | None) -> None:
        end = time.monotonic() + _NEWS_WITHIN
        while log is not None and (self._show(log) or time.monotonic() < end):
            time.sleep(_LOOK_SOON)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Put the terminal into raw mode inside the block: every key is passed on as it is typed."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def follow_size(machine: Handle) -> Iterator[None]:
    """Tell the guest the terminal's size, now and whenever it changes, since a serial line does not.

    The guest's agent sets it; a guest without an agent keeps its own assumption.
    """
    changed, ended = threading.Event(), threading.Event()

    def tell() -> None:
        pause = None
        while True:
            changed.wait(pause)
            if ended.is_set():
                return
            changed.clear()
            pause = None
            columns, rows = _size()
            try:
                if columns and rows:
                    inside.run(machine, f"stty -F {_GUEST_LINE} rows {rows} cols {columns}", timeout=5)
            except (GuestSilent, TimedOut):
                pause = _AGENT_PAUSE  # it may still be booting
            except LabError:
                pass

    def hear(_signal: int, _frame: object) -> None:
        changed.set()

    before = signal.signal(signal.SIGWINCH, hear)
    threading.Thread(target=tell, name="labkit console: size", daemon=True).start()
    changed.set()
    try:
        yield
    finally:
        ended.set()
        changed.set()
        signal.signal(signal.SIGWINCH, before)


def _size() -> tuple[int, int]:
    """Columns and rows of this terminal; 0, 0 if there is none."""
    try:
        rows, columns = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2]
    except OSError:
        return 0, 0
    return columns, rows


def _read(descriptor: int) -> bytes | None:
    """Return what can be read; b"" at the end; None if another terminal was faster."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
