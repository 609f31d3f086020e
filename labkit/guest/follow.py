"""Following a serial console in its log file as it is printed, by any number of readers.

Knows: a file that grows, begins again with each boot and is put aside when it is long. Must not know: libvirt, who
reads.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.guest.console import Opening

HISTORY_BYTES = 256 * 1024
"""How many bytes that were printed before are shown to a later viewer."""

_CHUNK = 64 * 1024


class LogFollower:
    """The bytes of a console's log, from `HISTORY_BYTES` before its end on.

    Args:
        log: the file; it may not exist yet. open_log: opens it.
    """

    def __init__(self, log: Path, open_log: Opening) -> None:
        self._log = log
        self._open_log = open_log
        self._file = -1
        self._at = 0

    def read(self) -> bytes:
        """Return what was printed since the last call, at most 64 KiB of it."""
        if self._file < 0 and not self._open(history=True):
            return b""
        stat = os.fstat(self._file)
        if stat.st_size < self._at:
            self._at = 0  # the guest has been started again
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
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self, *, history: bool) -> bool:
        try:
            self._file = self._open_log(self._log)
        except OSError:
            return False
        self._at = max(0, os.fstat(self._file).st_size - HISTORY_BYTES) if history else 0
        return True
