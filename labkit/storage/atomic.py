"""A place to make an image in, so that every file with an image's name is whole.

An image is made in a hidden folder beside its final place and renamed when it is on the disk. A process that is killed
halfway leaves that folder and nothing else; the next attempt, or `discard`, removes it.
Knows: files. Must not know: how an image is made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.errors import AlreadyExists, HostTrouble
from labkit.language import _
from labkit.model.image import Format
from labkit.storage import headers
from labkit.storage.files import delete_files, host_errors, sync_file, sync_folder

_PREFIX = ".making-"


@contextmanager
def creating(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield the path to make an image at; when the block ends without an error the image is at `target`, durable.

    All files made beside it are renamed too (a fixed VMDK has two); after an error nothing is left.

    Args:
        replace: whether it atomically replaces what is there.

    Raises:
        AlreadyExists: there is such a file. NoSpace, HostTrouble: it cannot be written.
    """
    if os.path.lexists(target) and not replace:
        raise AlreadyExists(
            _("There is already a file {name}.").format(name=target.name),
            _("Choose another name, or delete it first."),
        )
    folder = draft_folder(target)
    with host_errors(target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder / target.name
        with host_errors(target):
            _publish(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def draft_folder(target: Path) -> Path:
    """Return the hidden folder in which an image is made; it exists only meanwhile."""
    return target.parent / f"{_PREFIX}{hashlib.sha256(target.name.encode(errors='surrogateescape')).hexdigest()[:16]}"


def is_draft_folder(path: Path) -> bool:
    """Whether this is a folder that a killed attempt to make an image may have left."""
    return path.name.startswith(_PREFIX) and path.is_dir() and not path.is_symlink()


def discard(target: Path) -> None:
    """Remove what a killed attempt to make an image has left, if there was one."""
    shutil.rmtree(draft_folder(target), ignore_errors=True)


def remove_image(path: Path, format: Format) -> None:
    """Remove an image that has just been made, with all its files, and what a killed attempt has left."""
    discard(path)
    try:
        made = headers.read_image(path, format).files
    except FileNotFoundError:
        return
    except HostTrouble:
        made = (str(path),)  # after a power cut: the name is there, the content is not
    delete_files(reversed(made))


def _publish(folder: Path, target: Path) -> None:
    parts = sorted(folder.iterdir(), key=lambda part: part.name == target.name)  # the image's own file last
    for part in parts:
        sync_file(part)
    for part in parts:
        part.rename(target.parent / part.name)
    sync_folder(target.parent)
