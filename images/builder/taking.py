"""Images that another computer built: taken over whole, after every file was compared with what its manifest says.

Knows the layout of a folder of images (store.py). Must not know how images are made, or who asks for them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from builder.store import Manifest, Store, blobs
from builder.tools import BuildError, say

SETTING = "LABKIT_IMAGES_FROM"
BLOB = re.compile(r"blobs/([0-9a-f]{16})-([a-z0-9.]+)")
KEYS = {
    "name", "recipe", "architecture", "boot", "kernel", "kernel_packed", "initramfs", "command_line", "agent",
    "prompt", "message", "disk", "minimum_memory", "packages", "files",
}  # fmt: skip


def take(name: str, recipe: str, store: Store, scratch: Path, *, folder: Path) -> Manifest:
    """Copy the files of an image into the store; return its manifest.

    Raises:
        BuildError: the folder does not hold the image that this recipe makes, or a file is not what it should be.
    """
    say("  taking it from {folder}", folder=folder)
    manifest = read_manifest(name, folder)
    if manifest["recipe"] != recipe:
        raise BuildError(
            "The image {name} in {folder} was built by another version of labkit. Build it there with this version, "
            "or leave {setting} out.",
            name=name,
            folder=folder,
            setting=SETTING,
        )
    for number, blob in enumerate(blobs(manifest)):
        found, facts = BLOB.fullmatch(blob), manifest["files"].get(blob, {})
        if found is None:
            raise BuildError(
                "The manifest {name}.json in {folder} names a file that is none of an image: {blob!r}.",
                name=name,
                folder=folder,
                blob=blob,
            )
        copy = scratch / f"taken-{number}"
        try:
            shutil.copyfile(folder / blob, copy)
        except FileNotFoundError as error:
            raise BuildError(
                "The image {name} in {folder} is not whole: {blob} is missing. Copy the folder again.",
                name=name,
                folder=folder,
                blob=blob,
            ) from error
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if {"sha256": digest, "size": copy.stat().st_size} != facts or store.keep(found[2], copy) != blob:
            raise BuildError(
                "{blob} in {folder} is not what the manifest of {name} says. Copy the folder again.",
                blob=blob,
                folder=folder,
                name=name,
            )
    return manifest


def read_manifest(name: str, folder: Path) -> Manifest:
    """Return what a folder says about an image.

    Raises:
        BuildError: there is no such manifest, or it is not one of this form.
    """
    try:
        manifest: Manifest = json.loads((folder / f"{name}.json").read_text())
    except FileNotFoundError as error:
        raise BuildError(
            "The folder {folder} holds no image {name}. {setting} names a folder in which images were built: "
            "it holds tiny.json, sector.json and blobs.",
            folder=folder,
            name=name,
            setting=SETTING,
        ) from error
    except (OSError, ValueError) as error:
        raise BuildError(
            "The manifest {name}.json in {folder} cannot be read. Copy the folder again.", name=name, folder=folder
        ) from error
    if not is_manifest(manifest) or manifest["name"] != name:
        raise BuildError(
            "The manifest {name}.json in {folder} is not one of this version of labkit.", name=name, folder=folder
        )
    return manifest


def is_manifest(value: object) -> bool:
    """Say whether a value out of JSON has the parts that a manifest has."""
    if not isinstance(value, dict) or value.keys() != KEYS:
        return False
    disk, files = value["disk"], value["files"]
    if not isinstance(disk, dict) or disk.keys() != {"file", "format", "capacity"} or not isinstance(files, dict):
        return False
    named = [value["kernel"], value["kernel_packed"], value["initramfs"], disk["file"]]
    return all(isinstance(blob, str | None) for blob in named) and isinstance(disk["file"], str)
