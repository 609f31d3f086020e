"""An image served as blocks over a UNIX socket with NBD: storage on another machine, as in a SAN.

The server is a process of its own that outlives ours. It is found again by the socket in its command line, so it can be
ended after a crash, too.
Source: QEMU docs/tools/qemu-nbd.rst.
Knows: qemu-nbd and processes. Must not know: libvirt, plans.
"""

from __future__ import annotations

import os
import resource
import socket as sockets
from pathlib import Path

import psutil

from labkit.errors import BadInput, Busy, HostTrouble
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Format
from labkit.storage.process import run_daemon

_LONGEST = 107  # bytes of a UNIX socket's path
_PATIENCE = 5.0  # seconds to end in an orderly way


def start_server(
    image: Path,
    format: Format,
    socket: Path,
    *,
    export: str = "",
    read_only: bool = False,
    room: int | None = None,
    limit: Limit = NO_LIMIT,
) -> int:
    """Serve an image until the server is stopped; returns when it answers.

    Args:
        image: absolute; nobody else may have it open. socket: absolute path, at most 107 bytes; a socket left by a
            server that has ended is replaced. export: the name that clients ask for.
        room: how long the image's file may become, in bytes; writes beyond that fail as on a full disk. None: no limit.

    Returns:
        The server's process id; if this image is served there already, that of the running server, which gets the new
        room.

    Raises:
        BadInput: the socket's path is too long. Busy: another image is served there.
        HostTrouble: qemu-nbd is missing, or the image cannot be served.
        Cancelled, TimedOut: from the limit.
    """
    if len(os.fsencode(socket)) > _LONGEST:
        raise BadInput(
            _("The path {path} is too long for a socket: at most {most} bytes.").format(path=socket, most=_LONGEST),
            _("Give the lab a folder with a shorter path: Lab.open(home=…)."),
        )
    if (running := _find(socket)) is not None:
        if str(image) in running.cmdline():
            _give_room(running.pid, room)
            return int(running.pid)
        raise Busy(_("Another image is served at {socket}.").format(socket=socket.name), _("Stop that server first."))
    socket.unlink(missing_ok=True)
    argv = [
        *("env", "--ignore-signal=XFSZ"),  # a file that may not grow then fails a request, and does not end the server
        *("qemu-nbd", "--fork", "--persistent", "--shared=0", f"--socket={socket}", f"--export-name={export}"),
        *("--discard=unmap", *(("--read-only",) if read_only else ()), f"--format={format.driver}", str(image)),
    ]
    run_daemon(argv, limit=limit)
    server = _find(socket)
    if server is None:
        raise HostTrouble(
            _("qemu-nbd ended as soon as it had begun to serve {name}.").format(name=image.name), _("Start it again.")
        )
    _give_room(server.pid, room)
    return int(server.pid)


def _give_room(server: int, room: int | None) -> None:
    """Limit how long the file that a server writes may become: `ulimit -f` for a running process."""
    most = resource.RLIM_INFINITY if room is None else room
    resource.prlimit(server, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def find_server(socket: Path) -> int | None:
    """Return the process id of the server at a socket, or None."""
    server = _find(socket)
    return None if server is None else int(server.pid)


def is_alive(socket: Path) -> bool:
    """Whether a server accepts connections at a socket."""
    with sockets.socket(sockets.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(socket))
        except OSError:
            return False
    return True


def stop_server(socket: Path) -> None:
    """End the server at a socket, if there is one; it first writes what it holds to its image."""
    server = _find(socket)
    if server is not None:
        try:
            server.terminate()
            server.wait(_PATIENCE)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired:
            server.kill()
            server.wait(_PATIENCE)
    socket.unlink(missing_ok=True)


def _find(socket: Path) -> psutil.Process | None:
    wanted = f"--socket={socket}"
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "qemu-nbd" and wanted in (process.info["cmdline"] or ()):
            return process
    return None
