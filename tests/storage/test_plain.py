"""A plain file is opened; anything else is an error at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.storage.plain import NotPlain, open_plain, read_plain


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def a_link(path: Path) -> None:
    (path.parent / "other").write_text("other")  # may be there from the last one
    path.symlink_to("other")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_ring(path: Path) -> None:
    path.symlink_to(path.name)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


NOT_PLAIN: list[Callable[[Path], None]] = [Path.mkdir, a_pipe, a_socket, a_link, a_link_to_nothing, a_ring, a_device]


@pytest.mark.parametrize("make", NOT_PLAIN, ids=lambda make: make.__name__)
def test_what_is_no_plain_file_is_not_opened(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(Path("thing"))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotPlain, match="no plain file"):
        open_plain("thing")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_device_behind_a_link_that_is_followed_is_none_either(tmp_path: Path) -> None:
    a_device(tmp_path / "thing")
    with pytest.raises(NotPlain):
        read_plain(tmp_path / "thing", 10, follow=True)


def test_a_plain_file_is_read_so_far_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "thing").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("thing")
    assert read_plain(tmp_path / "thing", 4) == b"0123"
    assert read_plain(tmp_path / "link", 4, follow=True) == b"0123"


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    for name in ("none", "nu\0l", "half\ud800"):
        with pytest.raises(FileNotFoundError):
            open_plain(tmp_path / name)
