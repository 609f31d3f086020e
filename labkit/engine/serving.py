"""Serving a disk as blocks over a UNIX socket, as a storage network does.

As for a switch, there is no plan and no journal. Knows: the lab's folder, the server. Must not know: the façade.
"""

from __future__ import annotations

from pathlib import Path

from labkit.engine.session import Session
from labkit.limits import Limit
from labkit.model.disk import DiskFacts
from labkit.storage.files import make_private_folder
from labkit.storage.nbd import start_server, stop_server


def serve(session: Session, disk: DiskFacts, *, room: int | None, timeout: float) -> None:
    """Let a server offer a disk's active image; called again, it changes the room.

    Args:
        room: how many bytes its file may become long on the server's side; None: no limit.

    Raises:
        HostTrouble: the server cannot start.
    """
    socket = session.workspace.socket(disk.name)
    make_private_folder(socket.parent)
    image = disk.active
    start_server(Path(image.path), image.format, socket, export=disk.name, room=room, limit=Limit(timeout))


def stop_serving(session: Session, disk: str) -> None:
    """End a disk's server, if there is one."""
    stop_server(session.workspace.socket(disk))
