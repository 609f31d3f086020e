"""A guest's serial console: what it printed is read from the log file, what is typed goes through a sender.

The hypervisor writes every byte of the serial line into a log file, so any number of readers can follow it and none can
stall the guest. The file lies in the lab's folder, which may come from anybody: so the caller says how to open it, and
no more of it is read at once than a genuine log has.

Knows: a file and a function that sends bytes. Must not know: libvirt.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit.arguments import checked
from labkit.errors import BadInput, GuestSilent
from labkit.guest.lines import show_lines
from labkit.language import _
from labkit.units import Shown, check_count, format_size

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TAIL_BYTES = 64 * 1024
_LINE_BYTES = 4 * 1024
_MOST_TYPED = 64 * 1024
_MOST_READ = 4 * 1024 * 1024  # bytes; the hypervisor begins a new log after 2 MiB

Opening = Callable[[Path], int]
"""Opens a plain file for reading, without waiting, and returns its descriptor; raises OSError."""


class SerialConsole:
    """The serial console of one machine.

    Args:
        subject: the machine's name. log: the file that the hypervisor writes; it may not exist yet. open_log: opens it.
        send: types bytes on the serial line.
    """

    def __init__(self, *, subject: str, log: Path | None, open_log: Opening, send: Callable[[bytes], None]) -> None:
        self._subject = subject
        self._log = log
        self._open = open_log
        self._send = send

    @checked
    def tail(self, lines: int = 20) -> str:
        """Return the last lines that a terminal would show, oldest first, without what was overwritten or erased."""
        check_count(lines, what="lines")
        data = self._read(-_TAIL_BYTES)
        return "\n".join(show_lines(data.decode(errors="replace"))[-lines:])

    @property
    def position(self) -> int:
        """Bytes printed so far; pass it to `since` or `expect` to look only at what comes after."""
        try:
            return self._log.stat().st_size if self._log else 0
        except OSError:
            return 0

    @checked
    def since(self, position: int) -> str:
        """Return what was printed from a position on (a negative one: from the end), without control characters."""
        return _plain(self._read(position))

    def send(self, text: str, *, end: str = "\r") -> int:
        """Type a line on the console, ended as by the Enter key; returns the position before it, for `expect`."""
        typed = _check_typed(text) + _check_typed(end)
        before = self.position
        self._send(typed)
        return before

    @checked
    def expect(self, pattern: str, *, timeout: float = 60, position: int = 0) -> str:
        r"""Wait until the console has printed something that matches, and return that.

        Args:
            pattern: a regular expression, searched in the text without control characters.
            timeout: seconds. position: where to begin; 0 is the first boot ever.

        Raises:
            GuestSilent: nothing matched in time; the last lines are in the details.
        """
        try:
            wanted = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise BadInput(
                _("{pattern!r} is not a regular expression: {error}.").format(pattern=pattern, error=error),
                _("To look for plain text, use re.escape()."),
            ) from error
        for text in self._follow(position, timeout):
            if match := wanted.search(text):
                return match[0]
        raise GuestSilent(
            _("{subject}: its console did not show {pattern!r} within {seconds:g} s.").format(
                subject=self._subject, pattern=pattern, seconds=timeout
            ),
            _("Look at what it shows: vm.console.tail()."),
            details=self.tail(),
        )

    def _follow(self, position: int, timeout: float) -> Iterator[str]:
        end = time.monotonic() + timeout
        seen = -1
        while True:
            if self.position != seen:
                seen = self.position
                yield self.since(position)
            if time.monotonic() > end:
                return
            time.sleep(0.02)

    def _read(self, position: int) -> bytes:
        return b"" if self._log is None else _read_log(self._log, self._open, position)

    def __repr__(self) -> str:
        return f"SerialConsole of {self._subject}"


def read_last_line(log: Path, open_log: Opening) -> str:
    """Return the last line of a console's log that is not blank, at most 100 printable characters; empty if none."""
    lines = show_lines(_read_log(log, open_log, -_LINE_BYTES).decode(errors="replace"))
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "".join(letter for letter in last if letter.isprintable())[:100]


def _read_log(log: Path, open_log: Opening, position: int) -> bytes:
    """What a log holds from a position on (a negative one counts from its end); nothing if it is not a plain file."""
    try:
        with os.fdopen(open_log(log), "rb") as file:
            file.seek(position if position >= 0 else max(0, os.fstat(file.fileno()).st_size + position))
            return file.read(_MOST_READ)
    except (OSError, OverflowError):
        return b""


def _check_typed(text: object) -> bytes:
    """Return what is to be typed as bytes; it may contain every key, also control characters."""
    try:
        typed = text.encode() if isinstance(text, str) else None
    except UnicodeEncodeError:
        typed = None
    if typed is None or len(typed) > _MOST_TYPED:
        raise BadInput(
            _("{text!r} cannot be typed.").format(text=Shown(text)),
            _("Write a text, at most {size} at once.").format(size=format_size(_MOST_TYPED)),
        )
    return typed


def _plain(data: bytes) -> str:
    text = data.decode(errors="replace").replace("\r\n", "\n")
    return _CONTROL.sub("", text)
