"""An image served over a socket: written through it, found again, ended."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit.errors import BadInput, Busy, HostTrouble
from labkit.model.image import Allocation, Format
from labkit.storage.nbd import find_server, is_alive, start_server, stop_server
from labkit.storage.qemu_img import create
from labkit.units import MIB
from tests.storage.full_host import serve_with_room
from tests.storage.tools import qemu_io


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="lk-nbd-", dir="/tmp") as name:
        yield Path(name)
        for socket in Path(name).glob("*.sock"):
            stop_server(socket)


@pytest.fixture
def image(folder: Path) -> Path:
    path = folder / "data.0.qcow2"
    create(path, Format.QCOW2, 8 * MIB, Allocation.DYNAMIC)
    return path


def write(socket: Path, command: str) -> subprocess.CompletedProcess[str]:
    argv = ["qemu-io", "-f", "raw", "-c", command, f"nbd+unix:///?socket={socket}"]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_what_is_written_through_the_socket_is_in_the_image(folder: Path, image: Path) -> None:
    socket = folder / "data.sock"
    process = start_server(image, Format.QCOW2, socket)
    assert find_server(socket) == process
    assert is_alive(socket)
    assert write(socket, "write -P 7 1M 64k").returncode == 0
    assert write(socket, "read -P 7 1M 64k").returncode == 0  # it goes on after a client has left

    stop_server(socket)
    assert (find_server(socket), is_alive(socket), socket.exists()) == (None, False, False)
    qemu_io(image, Format.QCOW2, "read -P 7 1M 64k")
    stop_server(socket)  # nothing happens


def test_a_server_is_started_once(folder: Path, image: Path) -> None:
    socket = folder / "data.sock"
    process = start_server(image, Format.QCOW2, socket)
    assert start_server(image, Format.QCOW2, socket) == process
    with pytest.raises(Busy):
        start_server(folder / "other.0.qcow2", Format.QCOW2, socket)


def test_a_server_that_was_killed_is_replaced(folder: Path, image: Path) -> None:
    socket = folder / "data.sock"
    killed = psutil.Process(start_server(image, Format.QCOW2, socket))
    killed.kill()
    killed.wait(60)
    assert not is_alive(socket)
    assert start_server(image, Format.QCOW2, socket) != killed.pid
    assert is_alive(socket)


def test_a_server_without_room_refuses_writes_and_takes_them_when_it_has_more(folder: Path, image: Path) -> None:
    socket = folder / "data.sock"
    process = start_server(image, Format.QCOW2, socket, room=2 * MIB)
    assert write(socket, "write -P 7 0 1M").returncode == 0
    assert "No space left on device" in write(socket, "write -P 8 1M 4M").stdout
    assert write(socket, "read -P 7 0 1M").returncode == 0
    assert image.stat().st_size <= 2 * MIB
    assert start_server(image, Format.QCOW2, socket) == process
    assert write(socket, "write -P 8 1M 4M").returncode == 0
    stop_server(socket)
    qemu_io(image, Format.QCOW2, "read -P 8 1M 4M")
    subprocess.run(["qemu-img", "check", "-q", image], check=True)


def test_what_cannot_be_served_is_told(folder: Path) -> None:
    with pytest.raises(HostTrouble, match="No such file"):
        start_server(folder / "none.0.qcow2", Format.QCOW2, folder / "data.sock")
    with pytest.raises(BadInput, match="too long"):
        start_server(folder / "none.0.qcow2", Format.QCOW2, folder / f"{'x' * 100}.sock")


def test_a_host_can_be_made_full_and_emptied(folder: Path) -> None:
    path = folder / "data.0.raw"
    create(path, Format.RAW, MIB, Allocation.DYNAMIC)
    with serve_with_room(path, folder / "full.sock") as host:
        assert write(host.socket, "write -P 7 0 64k").returncode == 0
        host.fill()
        assert "No space left on device" in write(host.socket, "write -P 9 0 64k").stdout
        assert write(host.socket, "read -P 7 0 64k").returncode == 0
        host.free()
        assert write(host.socket, "write -P 9 0 64k").returncode == 0
    assert find_server(folder / "full.sock") is None
