"""A host whose disk is full when a test says so: a raw image behind nbdkit, whose error filter refuses writes.

No root and no file system of its own is needed; reads go on, as on a real full disk.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FullHost:
    """Where the image is served, and the file that says whether the disk is full."""

    socket: Path
    mark: Path

    def fill(self) -> None:
        """From now on every write fails: no space left on device."""
        self.mark.touch()

    def free(self) -> None:
        """There is room again."""
        self.mark.unlink(missing_ok=True)


@contextmanager
def serve_with_room(image: Path, socket: Path) -> Iterator[FullHost]:
    """Serve a raw image at a socket; the server ends with the block."""
    host = FullHost(socket=socket, mark=socket.with_suffix(".full"))
    ready = socket.with_suffix(".pid")
    refused = [
        word
        for act in ("pwrite", "zero", "trim")
        for word in (f"error-{act}=ENOSPC", f"error-{act}-rate=100%", f"error-{act}-file={host.mark}")
    ]
    argv = ["nbdkit", "--exit-with-parent", "--foreground", f"--unix={socket}", f"--pidfile={ready}", "--filter=error"]
    server = subprocess.Popen([*argv, "file", str(image), *refused])
    try:
        while not ready.exists():  # nbdkit writes it when it takes connections
            if server.poll() is not None:
                raise RuntimeError("nbdkit ended at once")
        yield host
    finally:
        server.terminate()
        server.wait(60)
        for left in (socket, ready, host.mark):
            left.unlink(missing_ok=True)
