"""What the builder promises: equal builds, small images, no work twice, plain words when it cannot."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from labkit.model.architecture import X86_64
from labkit.storage.guest_images import read_course_list, read_guest_images
from tests.images.conftest import BUILDER, Images, build

MIB = 1 << 20


def test_two_builds_are_equal(fresh: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert build(tmp_path).returncode == 0
    assert time.monotonic() - began < 240
    for name in ("tiny", "sector"):
        assert (fresh / f"{name}.json").read_text() == (tmp_path / f"{name}.json").read_text()
    assert {path.name for path in (fresh / "blobs").iterdir()} == {path.name for path in (tmp_path / "blobs").iterdir()}


def test_whoever_looks_for_them_learns_which_images_there_are(images: Images) -> None:
    assert read_course_list(images.folder) == tuple(sorted(read_guest_images(images.folder))) == ("sector", "tiny")


def test_what_is_built_is_for_the_architecture_of_the_lab(images: Images) -> None:
    tiny = images.manifest("tiny")
    assert tiny["architecture"] == X86_64.name
    assert f"console={X86_64.console}" in tiny["command_line"].split()


def test_a_blob_is_named_by_its_content_and_frozen(images: Images) -> None:
    for blob in (images.folder / "blobs").iterdir():
        assert blob.name.startswith(hashlib.sha256(blob.read_bytes()).hexdigest()[:16] + "-")
        assert blob.stat().st_mode & 0o777 == 0o444


def test_the_images_are_small(images: Images) -> None:
    tiny, sector = images.manifest("tiny"), images.manifest("sector")
    assert (images.folder / tiny["disk"]["file"]).stat().st_size <= 15 * MIB
    assert (images.folder / tiny["initramfs"]).stat().st_size <= 4 * MIB
    assert tiny["disk"] | {"file": ""} == {"file": "", "format": "qcow2", "capacity": 64 * MIB}
    disk = (images.folder / sector["disk"]["file"]).read_bytes()
    assert len(disk) == sector["disk"]["capacity"] == 1 * MIB
    assert disk[510:512] == b"\x55\xaa"
    assert not disk[512:].strip(b"\0")


def test_it_speaks_the_language_of_the_command(tmp_path: Path) -> None:
    done = build(tmp_path, "sector", LABKIT_SPOKEN="es")
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert said[:2] == ["sector: construyendo", "  ensamblando el sector de arranque"]
    assert said[-1].startswith("sector: lista después de ")
    assert build(tmp_path, "sector", LABKIT_SPOKEN="es").stderr == "sector: al día\n"
    assert build(tmp_path, "sector", LABKIT_SPOKEN="fr").stderr == "sector: up to date\n"
    refused = build(tmp_path / "other", "sector", LABKIT_SPOKEN="es", LABKIT_IMAGES_FROM=str(tmp_path / "none"))
    assert refused.stderr.splitlines()[-1].startswith("build.py: La carpeta ")


def test_an_image_is_the_same_whatever_language_was_spoken(fresh: Path, tmp_path: Path) -> None:
    build(tmp_path, "sector", LABKIT_SPOKEN="es")
    assert (fresh / "sector.json").read_text() == (tmp_path / "sector.json").read_text()


def test_what_is_there_is_not_built_again(fresh: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in fresh.rglob("*.json"))
    help_, again = [], []
    for _time in range(3):  # the quickest of each: whatever else the computer does makes one slow, not all
        began = time.monotonic()
        subprocess.run([sys.executable, BUILDER, "--help"], check=True, capture_output=True)
        help_.append(time.monotonic() - began)
        began = time.monotonic()
        done = build(fresh)
        again.append(time.monotonic() - began)
        assert (done.returncode, done.stderr) == (0, "tiny: up to date\nsector: up to date\n")
    assert min(again) < 4 * min(help_)  # hardly more than it takes to say how it is used
    assert sorted((path, path.stat().st_mtime_ns) for path in fresh.rglob("*.json")) == before


def test_other_versions_than_were_tried_are_told_and_still_current(fresh: Path, tmp_path: Path) -> None:
    for manifest in fresh.glob("*.json"):
        shutil.copy(manifest, tmp_path)
    (tmp_path / "blobs").symlink_to(fresh / "blobs")
    renewed = json.loads((tmp_path / "tiny.json").read_text())
    tried = json.loads((BUILDER.parent / "versions.json").read_text())["tiny"]
    renewed["packages"] = {**tried, "libc6": "2.36-9+deb12u99"}
    (tmp_path / "tiny.json").write_text(json.dumps(renewed))
    done = build(tmp_path, "--check")
    assert done.returncode == 0, done.stderr
    assert "tiny: of another point release than the course was tried with" in done.stderr
    assert f"libc6 2.36-9+deb12u99 (tried: {tried['libc6']})" in done.stderr
    assert done.stderr.count("(tried:") == 1


def test_a_lost_blob_is_built_again(fresh: Path, tmp_path: Path) -> None:
    shutil.copytree(fresh, tmp_path / "images")
    lost = tmp_path / "images" / json.loads((fresh / "sector.json").read_text())["disk"]["file"]
    lost.unlink()
    assert build(tmp_path / "images", "sector").returncode == 0
    assert lost.is_file()


def test_a_missing_tool_names_its_package(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(BUILDER.parent, broken)
    tools = broken / "builder" / "tools.py"
    tools.write_text(tools.read_text().replace('"as": "binutils"', '"no-such-as": "binutils"'))
    recipe = broken / "sector" / "recipe.py"
    recipe.write_text(recipe.read_text().replace('["as", ', '["no-such-as", '))
    done = subprocess.run(
        [sys.executable, broken / "build.py", "--into", tmp_path / "images", "sector"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "build.py: The program no-such-as is missing: apt-get install binutils."


def test_an_interrupted_build_leaves_nothing_half_made(tmp_path: Path) -> None:
    argv = [sys.executable, str(BUILDER), "--into", str(tmp_path / "images"), "tiny"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "unpacking" in line:
                process.terminate()
                break
        assert "Stopped before the images were ready" in process.stderr.read()
    assert process.returncode == 1
    assert not list((tmp_path / "images").glob(".build-*"))
    assert not (tmp_path / "images" / "tiny.json").exists()


def test_an_unknown_image_is_refused(tmp_path: Path) -> None:
    done = build(tmp_path, "huge")
    assert done.returncode == 2
    assert "There is no recipe huge; the recipes are tiny, sector." in done.stderr
