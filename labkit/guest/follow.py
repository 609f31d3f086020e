"""Following a serial console as it is printed: from the log's file, by any number of readers.

Knows: a file that grows, begins anew with each boot and is put aside when it is long; escape sequences.
Must not know: libvirt, who looks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

HISTORY_BYTES = 256 * 1024
"""How much of what was printed before is shown to who comes later."""

_CHUNK = 64 * 1024
_LONGEST_SEQUENCE = 64

_QUERY = re.compile(rb"\x1b\[[?>=]?[0-9;]*[cn]|\x1b\[[0-9;]*x|\x1b\](?:4;[0-9]+|1[0-2]);\?(?:\x07|\x1b\\)|\x1bZ|\x05")
_BEGUN = re.compile(rb"\x1b(?:[\[\]][0-9;?>=]*\x1b?)?\Z")


class LogFollower:
    """The bytes of a console's log, from some way before its end on.

    Args:
        log: the file; it may not be there yet.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = -1
        self._at = 0

    def read(self) -> bytes:
        """Return what was printed since the last call, at most 64 KiB of it."""
        if self._file < 0 and not self._open(history=True):
            return b""
        stat = os.fstat(self._file)
        if stat.st_size < self._at:
            self._at = 0  # the guest was started anew
        if data := os.pread(self._file, _CHUNK, self._at):
            self._at += len(data)
            return data
        try:
            moved = os.stat(self._log).st_ino != stat.st_ino
        except OSError:
            return b""
        if moved:
            self.close()
            self._open(history=False)
        return b""

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self, *, history: bool) -> bool:
        try:
            self._file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        self._at = max(0, os.fstat(self._file).st_size - HISTORY_BYTES) if history else 0
        return True


class WithoutQueries:
    """Takes from a stream what asks the terminal for an answer.

    Every viewer would answer, also those who see it later, and the guest would take the answers for typing.
    """

    def __init__(self) -> None:
        self._held = b""

    def __call__(self, data: bytes) -> bytes:
        """Return the next bytes without queries; one that has only begun is held back until the next call."""
        text = _QUERY.sub(b"", self._held + data)
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        self._held = text[begun.start() :] if begun and data else b""
        return text[: len(text) - len(self._held)]
