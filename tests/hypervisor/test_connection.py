"""Connecting to a daemon that goes away again at any message: the connection comes up all the same."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import libvirt
import pytest

from labkit.errors import ConnectionLost
from labkit.hypervisor.connection import Connection
from tests.instance import Instance

MOST_MESSAGES = 60


class Line:
    """A socket that leads to the daemon's; it cuts the first connection after some of the client's messages."""

    def __init__(self, path: Path, daemon: Path, *, cut_after: int) -> None:
        self.path, self._daemon = path, daemon
        self.cut = False
        self._left: int | None = cut_after
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._open: list[socket.socket] = [self._server]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End all that leads through it."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client = self._server.accept()[0]
                daemon = socket.socket(socket.AF_UNIX)
                daemon.connect(str(self._daemon))
                self._open += [client, daemon]
                left, self._left = self._left, None
                for source, sink, count in ((client, daemon, left), (daemon, client, None)):
                    threading.Thread(target=self._pass_on, args=(source, sink, count), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with suppress(OSError, struct.error):
            for number in itertools.count():
                length = _receive(source, 4)
                body = _receive(source, struct.unpack("!I", length)[0] - 4)
                if number == left:
                    self.cut = True
                    break
                sink.sendall(length + body)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _receive(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


@pytest.fixture
def daemon(instance: Instance) -> Iterator[Path]:
    """The socket of the instance's daemon, which runs."""
    runtime = Path(instance.environment["XDG_RUNTIME_DIR"])
    connection = Connection("qemu:///session")
    yield runtime / "libvirt" / "libvirt-sock"
    connection.close()


def test_a_daemon_that_goes_away_at_any_message_of_the_opening_is_asked_again(daemon: Path, tmp_path: Path) -> None:
    cut = 0
    for count in range(MOST_MESSAGES):
        with ExitStack() as end:
            line = Line(tmp_path / f"{count}", daemon, cut_after=count)
            end.callback(line.close)
            connection = Connection(f"qemu+unix:///session?socket={line.path}")
            end.callback(connection.close)
            opened, was_cut = connection.raw(), line.cut
            assert opened.isAlive()
            if not was_cut:
                break
            cut += 1
    assert 10 < cut < MOST_MESSAGES - 1


def test_a_daemon_that_is_killed_before_it_has_read_a_call_is_told_as_gone(instance: Instance) -> None:
    """The call fails for the line ("connection reset by peer") before libvirt, which is busy, calls it dead."""
    connection = Connection("qemu:///session")
    try:
        connection.raw()
        daemon = instance.daemon()
        daemon.suspend()

        def kill(timer: int, _opaque: object) -> None:
            libvirt.virEventRemoveTimeout(timer)
            daemon.kill()
            time.sleep(0.2)  # libvirt's loop of events is busy with this

        libvirt.virEventAddTimeout(50, kill, None)
        with pytest.raises(ConnectionLost):
            connection.call(lambda raw: raw.numOfDomains())
        assert connection.read(lambda raw: raw.isAlive())
    finally:
        connection.close()
