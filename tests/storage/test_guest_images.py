"""The guest images that there are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from labkit.model.image import Greeting
from labkit.storage.guest_images import find_damaged, read_guest_images

MANIFEST = {
    "name": "mini",
    "kernel": "kernel",
    "initramfs": None,
    "command_line": "quiet",
    "disk": {"file": "disk.qcow2", "format": "qcow2", "capacity": 1 << 20},
    "minimum_memory": 1 << 20,
    "agent": False,
    "message": {"offset": 4, "length": 8},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mini.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "kernel").touch()
    (tmp_path / "disk.qcow2").write_bytes(b"x" * 5000)
    return tmp_path


def test_an_image_is_what_its_manifest_says(folder: Path) -> None:
    image = read_guest_images(folder)["mini"]
    assert image.kernel == str(folder / "kernel")
    assert image.initramfs is None
    assert image.disk == str(folder / "disk.qcow2")
    assert image.disk_bytes == (folder / "disk.qcow2").stat().st_blocks * 512
    assert image.message == Greeting(offset=4, length=8)


@pytest.mark.parametrize("missing", ["kernel", "disk.qcow2"])
def test_an_image_whose_files_are_missing_is_not_offered(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    assert read_guest_images(folder) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "mini"}', '{"disk": 3}'])
def test_a_manifest_that_makes_no_sense_is_not_offered(folder: Path, text: str) -> None:
    (folder / "broken.json").write_text(text)
    assert list(read_guest_images(folder)) == ["mini"]


def test_the_images_of_the_course_are_there(guest_images: Path) -> None:
    images = read_guest_images(guest_images)
    assert images["tiny"].agent
    assert images["sector"].message


def test_files_that_are_not_what_their_names_say_are_damaged(guest_images: Path, tmp_path: Path) -> None:
    shutil.copytree(guest_images, tmp_path / "images")
    sector = read_guest_images(tmp_path / "images")["sector"]
    assert find_damaged(sector) == []
    disk = Path(sector.disk)
    disk.chmod(0o644)
    disk.write_bytes(disk.read_bytes() + b"x")
    assert find_damaged(sector) == [sector.disk]
    disk.unlink()
    assert find_damaged(sector) == [sector.disk]


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "../x"},
        {"name": 5},
        {"kernel": "/etc/passwd"},
        {"kernel": "../../etc/passwd"},
        {"command_line": "quiet\ninit=/bin/sh"},
        {"command_line": None},
        {"minimum_memory": "1"},
        {"minimum_memory": -1},
        {"minimum_memory": 1 << 70},
        {"disk": {"file": "disk.qcow2", "format": "qcow2", "capacity": 0}},
        {"disk": {"file": "disk.qcow2", "format": "exe", "capacity": 1 << 20}},
        {"disk": {"file": "", "format": "qcow2", "capacity": 1 << 20}},
        {"message": {"offset": 1 << 40, "length": 8}},
        {"message": "hello"},
        {"prompt": 7},
        {"prompt": "root@\n"},
    ],
    ids=str,
)
def test_a_manifest_with_something_odd_in_it_is_not_offered(folder: Path, odd: dict[str, object]) -> None:
    (folder / "odd.json").write_text(json.dumps(MANIFEST | {"name": "odd"} | odd))
    assert list(read_guest_images(folder)) == ["mini"]


@pytest.mark.parametrize("part", ["disk.qcow2", "kernel"])
def test_an_image_that_is_a_pipe_is_not_offered(folder: Path, part: str) -> None:
    (folder / part).unlink()
    os.mkfifo(folder / part)
    assert read_guest_images(folder) == {}
