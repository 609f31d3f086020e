"""The guest images built by `images/build.py`, read from their manifests.

Knows: the manifests' form (images/README.md). Must not know: what is made of them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from labkit.model.image import Format, GuestImage, Message

_DIGITS = 16
"""Digits of its content's SHA-256 that a file's name begins with."""


def read_guest_images(folder: Path) -> dict[str, GuestImage]:
    """Return the guest images in a folder by name; those whose files are missing are left out."""
    images = (_read(manifest) for manifest in sorted(folder.glob("*.json")))
    return {image.name: image for image in images if image is not None}


def find_damaged(image: GuestImage) -> list[str]:
    """Return those of an image's files whose content is not what their names say, or that cannot be read.

    A file's name begins with the first digits of the SHA-256 of its content.
    """
    files = [path for path in (image.kernel, image.initramfs, image.disk) if path is not None]
    return [path for path in files if not is_as_named(Path(path))]


def is_as_named(path: Path) -> bool:
    """Return whether a file's content is what its name says."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return False
    return len(start := path.name.partition("-")[0]) == _DIGITS and digest.startswith(start)


def _read(manifest: Path) -> GuestImage | None:
    try:
        data: dict[str, Any] = json.loads(manifest.read_bytes())
        disk = manifest.parent / data["disk"]["file"]
        message = data.get("message")
        image = GuestImage(
            name=data["name"],
            kernel=_file(manifest, data["kernel"]),
            initramfs=_file(manifest, data["initramfs"]),
            command_line=data["command_line"],
            disk=str(disk),
            format=Format(data["disk"]["format"]),
            capacity=data["disk"]["capacity"],
            disk_bytes=disk.stat().st_blocks * 512,
            minimum_memory=data["minimum_memory"],
            agent=data["agent"],
            message=Message(offset=message["offset"], length=message["length"]) if message else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    parts = (image.kernel, image.initramfs)
    return image if all(part is None or Path(part).exists() for part in parts) else None


def _file(manifest: Path, name: str | None) -> str | None:
    return str(manifest.parent / name) if name else None
