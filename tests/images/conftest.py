"""Guest images for the tests: those of `LABKIT_IMAGES` if they are up to date, else freshly built ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.images.bare import Guest, boot

BUILDER = Path(__file__).resolve().parents[2] / "images" / "build.py"
UUID = "11112222-3333-4444-5555-66667777888a"


def build(into: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the builder as a person would, in an environment that differs from ours in some variables."""
    argv = [sys.executable, str(BUILDER), "--into", str(into), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | environment)


@dataclass(frozen=True, slots=True)
class Images:
    """A folder of built images."""

    folder: Path

    def manifest(self, name: str) -> dict[str, Any]:
        """Return what is known of an image."""
        manifest: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return manifest

    def disk(self, name: str, copy: Path) -> Path:
        """Copy the image's disk, so that it can be written."""
        copy.write_bytes((self.folder / self.manifest(name)["disk"]["file"]).read_bytes())
        return copy


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images built in this session."""
    folder = tmp_path_factory.mktemp("images")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest) -> Images:
    """The images under test."""
    given = os.environ.get("LABKIT_IMAGES")
    if given and build(Path(given), "--check").returncode == 0:
        return Images(Path(given))
    folder: Path = request.getfixturevalue("fresh")
    return Images(folder)


def tiny(
    images: Images, folder: Path, *devices: str, disk: Path | None = None, words: str = "", uuid: str = UUID
) -> AbstractContextManager[Guest]:
    """A guest of `tiny` with its sockets in a new folder, and a new disk beside it; see `start_tiny`."""
    manifest = images.manifest("tiny")
    arguments = [
        "-kernel", str(images.folder / manifest["kernel"]),
        "-initrd", str(images.folder / manifest["initramfs"]),
        "-append", f"{manifest['command_line']} {words}",
        "-uuid", uuid,
        "-drive", f"file={disk or images.disk('tiny', folder.with_suffix('.qcow2'))},if=none,id=vda,discard=unmap",
        "-device", "virtio-blk-pci,drive=vda",
        *devices,
    ]  # fmt: skip
    return boot(folder, arguments)


@pytest.fixture
def start_tiny(images: Images, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Start `tiny` on a disk (a new one, if none is given), with more words for its kernel and for QEMU."""
    with ExitStack() as stack:
        numbers = count(1)

        def start(*devices: str, disk: Path | None = None, words: str = "", uuid: str = UUID) -> Guest:
            folder = tmp_path / f"guest{next(numbers)}"
            return stack.enter_context(tiny(images, folder, *devices, disk=disk, words=words, uuid=uuid))

        yield start
