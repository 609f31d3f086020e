"""Where built images lie: blobs named by their content, and one manifest per image that names its blobs.

Knows the layout that labkit reads (see README.md). Blobs are never changed and never deleted here: machines and
snapshots may name old ones. The manifest is written last and at once, so an image is there whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

LIST = "course.list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A folder of images."""

    folder: Path

    def is_current(self, name: str, recipe: str) -> bool:
        """Say whether the image is there, whole, and made by the recipe with this hash."""
        try:
            manifest = json.loads((self.folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return False
        return manifest.get("recipe") == recipe and all((self.folder / blob).is_file() for blob in blobs(manifest))

    def keep(self, what: str, content: Path) -> str:
        """Move a finished file of the scratch folder into the store; return its path relative to the store."""
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        blob = f"blobs/{digest[:16]}-{what}"
        (self.folder / "blobs").mkdir(exist_ok=True)
        if not (self.folder / blob).exists():
            content.chmod(0o444)
            content.rename(self.folder / blob)
        return blob

    def describe(self, manifest: Manifest) -> dict[str, dict[str, str | int]]:
        """Return the whole hash and the size in bytes of each blob that a manifest names."""
        files: dict[str, dict[str, str | int]] = {}
        for blob in blobs(manifest):
            with (self.folder / blob).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[blob] = {"sha256": digest, "size": (self.folder / blob).stat().st_size}
        return files

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest of an image whose blobs are all kept."""
        finished = self.folder / f"{manifest['name']}.json"
        part = finished.with_suffix(".part")
        part.write_text(json.dumps(manifest, indent=2) + "\n")
        part.replace(finished)

    def list_course(self, names: list[str]) -> None:
        """Write down which images the course needs, a name on each line: whoever looks for what is missing reads it."""
        text = "".join(f"{name}\n" for name in names)
        finished = self.folder / LIST
        if not finished.exists() or finished.read_text() != text:
            part = finished.with_suffix(".part")
            part.write_text(text)
            part.replace(finished)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a scratch folder on the same file system; one build at a time, and nothing of it stays behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(".build-*"):  # by a build that was killed
                remove(left)
            scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=self.folder))
            try:
                yield scratch
            finally:
                remove(scratch)


def remove(folder: Path) -> None:
    """Remove a folder, also while a program of an interrupted build still writes into it for a moment."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def blobs(manifest: Manifest) -> list[str]:
    """Return the blobs that a manifest names."""
    named = [manifest["kernel"], manifest["initramfs"], manifest.get("kernel_packed"), manifest["disk"]["file"]]
    return [blob for blob in named if blob is not None]


def recipe_hash(folders: list[Path]) -> str:
    """Return the SHA-256 of all that decides what a recipe makes, but for the packages' versions: its files."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(folder.parent).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
