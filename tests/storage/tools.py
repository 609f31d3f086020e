"""What the tests of the storage room share: qemu's own tools as the oracle, limits on files."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.model.image import Allocation, Format, ImageFacts
from labkit.units import MIB

EVERY = [(format, allocation) for format in Format for allocation in Allocation]
"""All formats × fixed and dynamic."""


def qemu_io(path: Path, format: Format, *commands: str) -> None:
    """Write to an image as a guest would: "write -P 7 3M 64k"."""
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", format.driver, *words, path], check=True, capture_output=True)


def qemu_info(path: Path, format: Format) -> dict[str, Any]:
    """Return what qemu-img itself says of an image."""
    argv = ["qemu-img", "info", "--output=json", "-f", format.driver, str(path)]
    told: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return told


def make_image(path: Path, format: Format, capacity: int | str = 8 * MIB, *options: str) -> Path:
    """Create an image with qemu-img alone."""
    argv = ["qemu-img", "create", "-q", "-f", format.driver, *(("-o", ",".join(options)) if options else ())]
    subprocess.run([*argv, path, str(capacity)], check=True, capture_output=True)
    return path


def write_data(path: Path, length: int) -> Path:
    """Write a raw image full of data, a multiple of 1 MiB."""
    with path.open("xb") as file:
        for _block in range(length // MIB):
            file.write(b"labkit!\n" * (MIB // 8))
    return path


def is_filled(facts: ImageFacts) -> bool:
    """Whether the host has given every byte of an image's files."""
    return facts.allocated >= facts.length and facts.allocated >= facts.capacity


def names(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden ones too."""
    return sorted(part.name for part in folder.iterdir())


@contextmanager
def longest_file(length: int) -> Iterator[None]:
    """Let no file become longer, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
