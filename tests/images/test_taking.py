"""LABKIT_IMAGES_FROM: images that another computer built, taken whole or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.mirrors import SETTING as MIRROR
from builder.taking import SETTING
from tests.images.conftest import build

NOWHERE = "http://127.0.0.1:9/debian"
Manifest = dict[str, Any]


@pytest.fixture
def given(fresh: Path, tmp_path: Path) -> Path:
    """A folder as another computer gives it: the manifests and the blobs."""
    folder = tmp_path / "given"
    shutil.copytree(fresh, folder, ignore=shutil.ignore_patterns("packages"))
    return folder


def test_images_are_taken_as_they_are_without_any_network(fresh: Path, given: Path, tmp_path: Path) -> None:
    into = tmp_path / "images"
    done = build(into, **{SETTING: str(given), MIRROR: NOWHERE})
    assert done.returncode == 0, done.stderr
    for name in ("tiny.json", "sector.json"):
        assert (into / name).read_text() == (fresh / name).read_text()
    assert {file.name: file.stat().st_mode & 0o777 for file in (into / "blobs").iterdir()} == {
        file.name: 0o444 for file in (fresh / "blobs").iterdir()
    }
    shutil.rmtree(given)  # what is there is not asked for again
    assert build(into, **{SETTING: str(given)}).returncode == 0


def refuse(given: Path, into: Path, name: str = "sector") -> str:
    """What the builder says of a folder that it does not take."""
    done = build(into, name, **{SETTING: str(given), MIRROR: NOWHERE})
    assert done.returncode == 1, done.stderr
    assert not (into / f"{name}.json").exists()
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    sentence = refuse(tmp_path / "none", tmp_path / "images")
    assert f"The folder {tmp_path}/none holds no image sector." in sentence


def test_file_that_was_changed(given: Path, tmp_path: Path) -> None:
    disk = given / json.loads((given / "sector.json").read_text())["disk"]["file"]
    disk.chmod(0o644)
    data = bytearray(disk.read_bytes())
    data[300] ^= 1
    disk.write_bytes(data)
    assert "is not what the manifest of sector says" in refuse(given, tmp_path / "images")
    assert not (tmp_path / "images" / "blobs").exists()


def test_file_that_was_cut_off(given: Path, tmp_path: Path) -> None:
    initramfs = given / json.loads((given / "tiny.json").read_text())["initramfs"]
    initramfs.chmod(0o644)
    initramfs.write_bytes(initramfs.read_bytes()[:-1])
    assert "is not what the manifest of tiny says" in refuse(given, tmp_path / "images", "tiny")


def test_file_that_is_missing(given: Path, tmp_path: Path) -> None:
    (given / json.loads((given / "tiny.json").read_text())["kernel"]).unlink()
    assert "is not whole" in refuse(given, tmp_path / "images", "tiny")


def lead_out(manifest: Manifest) -> None:
    """Let the manifest name a file outside of its folder."""
    manifest["disk"]["file"] = "blobs/../../secret"


def name_another_image(manifest: Manifest) -> None:
    """Let it be another image's."""
    manifest["name"] = "tiny"


def come_from_another_version(manifest: Manifest) -> None:
    """Let it be made by another recipe."""
    manifest["recipe"] = "0" * 64


def lack_the_disk(manifest: Manifest) -> None:
    """Let a part be missing."""
    del manifest["disk"]


def say_the_wrong_size(manifest: Manifest) -> None:
    """Let the file be larger than it says."""
    manifest["files"][manifest["disk"]["file"]]["size"] -= 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lead_out, "names a file that is none of an image"),
        (name_another_image, "is not one of this version of labkit"),
        (come_from_another_version, "was built by another version of labkit"),
        (lack_the_disk, "is not one of this version of labkit"),
        (say_the_wrong_size, "is not what the manifest of sector says"),
    ],
)
def test_manifest_that_does_not_fit(
    given: Path, tmp_path: Path, change: Callable[[Manifest], None], sentence: str
) -> None:
    (tmp_path / "secret").write_text("not for others")
    manifest = json.loads((given / "sector.json").read_text())
    change(manifest)
    (given / "sector.json").write_text(json.dumps(manifest))
    assert sentence in refuse(given, tmp_path / "images")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "sector"}', "\0\1"])
def test_manifest_that_is_none(given: Path, tmp_path: Path, text: str) -> None:
    (given / "sector.json").write_text(text)
    assert "sector.json" in refuse(given, tmp_path / "images")
