"""Files of images: copied whole or not at all."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.errors import AlreadyExists, Cancelled, HostTrouble, NoSpace, TimedOut
from labkit.limits import NO_LIMIT, Limit
from labkit.storage.files import (
    copy_file,
    delete_files,
    free_bytes,
    host_errors,
    is_written,
    list_files,
    rename_file,
    sync_folder,
    write_padded,
)
from labkit.units import MIB

BLOCK = 4096


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A file of 64 MiB: data at its start, in its middle, and a hole at its end."""
    path = tmp_path / "source"
    with path.open("wb") as file:
        file.write(b"a" * BLOCK)
        file.seek(32 * MIB)
        file.write(b"b" * 5 * MIB)
        file.truncate(64 * MIB)
    return path


def copy(source: Path, target: Path, limit: Limit = NO_LIMIT) -> list[tuple[int, int]]:
    reports: list[tuple[int, int]] = []
    copy_file(source, target, on_bytes=lambda done, total: reports.append((done, total)), limit=limit, reflink=False)
    return reports


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_copy_has_the_same_content_and_keeps_the_holes(sparse: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(sparse, target)
    assert target.read_bytes() == sparse.read_bytes()
    assert target.stat().st_blocks * 512 <= sparse.stat().st_blocks * 512 + BLOCK


def test_a_copy_tells_how_far_it_is(sparse: Path, tmp_path: Path) -> None:
    reports = copy(sparse, tmp_path / "target")
    done = [step for step, _total in reports]
    assert done == sorted(done)
    assert reports[-1][0] == pytest.approx(5 * MIB + BLOCK, abs=2 * BLOCK)
    assert {total for _done, total in reports} == {sparse.stat().st_blocks * 512}


@pytest.mark.parametrize("size", [0, 1, BLOCK])
def test_small_files_and_files_of_nothing_are_copied(size: int, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * size)
    copy(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"x" * size


def test_a_file_that_is_there_is_never_overwritten(sparse: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    with pytest.raises(HostTrouble, match="target"):
        copy(sparse, target)
    assert target.read_text() == "precious"


def test_a_source_that_is_gone_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(HostTrouble, match="source"):
        copy(tmp_path / "source", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_of_a_cancelled_copy_nothing_is_left(sparse: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        copy_file(
            sparse,
            tmp_path / "target",
            on_bytes=lambda _done, _total: cancel.set(),
            limit=Limit(cancel=cancel),
            reflink=False,
        )
    assert list(tmp_path.iterdir()) == [sparse]


def test_of_a_copy_that_takes_too_long_nothing_is_left(sparse: Path, tmp_path: Path) -> None:
    with pytest.raises(TimedOut):
        copy(sparse, tmp_path / "target", Limit(0))
    assert list(tmp_path.iterdir()) == [sparse]


def test_where_the_host_gives_no_more_space_nothing_is_left(sparse: Path, tmp_path: Path) -> None:
    with no_file_longer_than(MIB), pytest.raises(NoSpace, match="target") as caught:
        copy(sparse, tmp_path / "target")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == [sparse]


@pytest.mark.parametrize("number", [28, 122])
def test_a_full_disk_and_a_used_up_quota_are_both_no_space(number: int) -> None:
    with pytest.raises(NoSpace), host_errors("web.qcow2"):
        raise OSError(number, os.strerror(number))


def test_a_message_is_padded_to_its_place_and_can_be_found_again(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"." * 100)
    write_padded(path, 10, 20, "¡Hola!")
    data = "¡Hola!".encode()
    assert path.read_bytes() == b"." * 10 + data + bytes(20 - len(data)) + b"." * 70
    assert is_written(path, 10, 20, "¡Hola!")
    assert not is_written(path, 10, 20, "Hello")
    assert not is_written(tmp_path / "none", 10, 20, "Hello")


def test_deleting_twice_is_as_deleting_once(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    delete_files([str(path), str(path)])
    delete_files([str(path)])
    assert not path.exists()


def test_a_folder_that_is_gone_is_told_not_raised_raw(tmp_path: Path) -> None:
    with pytest.raises(HostTrouble):
        free_bytes(tmp_path / "none")
    assert list_files(tmp_path / "none") == []


def test_free_space_is_what_we_may_use(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) <= os.statvfs(tmp_path).f_bfree * os.statvfs(tmp_path).f_frsize


def test_files_are_listed_by_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    sync_folder(tmp_path)
    assert list_files(tmp_path) == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_file_gets_another_name_once_and_never_takes_that_of_another(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("mine")
    rename_file(old, new)
    rename_file(old, new)  # done twice is done once
    assert (old.exists(), new.read_text()) == (False, "mine")
    old.write_text("another's")
    with pytest.raises(AlreadyExists, match="old cannot be named new"):
        rename_file(old, new)
    assert (old.read_text(), new.read_text()) == ("another's", "mine")
    old.unlink()
    new.unlink()
    with pytest.raises(HostTrouble, match="old"):
        rename_file(old, new)
