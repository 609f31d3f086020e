"""Images from outside brought into the lab: copied to where nobody else can change them, inspected again, converted.

Knows: how an image is inspected, the host's files. Must not know: libvirt, plans, formats.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.errors import BadInput, NoSpace
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit, OnBytes
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.storage.files import copy_file, free_bytes, host_errors
from labkit.storage.foreign import inspect, seal_of
from labkit.storage.qemu_img import convert


def bring_in(
    foreign: Foreign,
    target: Path,
    target_format: Format,
    allocation: Allocation,
    *,
    on_bytes: OnBytes,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
    capacity: int | None = None,
) -> None:
    """Make an image of the lab from a foreign one, which is only read. After an error nothing is left.

    Args:
        foreign: as inspected. target: absolute; the image to make. capacity: as for `convert`.
        on_bytes: called with bytes done and bytes in all, of copy and conversion together.

    Raises:
        BadInput: the file has changed since its inspection, or while it was copied. AlreadyExists: the target exists.
        NoSpace: there is not enough room for both the copy and the image.
        HostTrouble: a file cannot be read or written. Cancelled, TimedOut: from the limit.
    """
    image = max(foreign.capacity, capacity or 0) if allocation is Allocation.FIXED else foreign.data
    if foreign.allocated + image > free_bytes(target.parent):
        raise NoSpace(
            _("{name} needs {needed} bytes here, copy and image together; the host has {free}.").format(
                name=Path(foreign.path).name, needed=foreign.allocated + image, free=free_bytes(target.parent)
            ),
            _("Delete what you no longer need, or free space on the host; then do it again."),
        )
    folder = bringing_folder(target)
    with host_errors(target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        _copy(foreign, folder, lambda done: on_bytes(done, foreign.allocated + image), limit)
        copy = inspect(folder / Path(foreign.path).name, foreign.format)
        convert(
            Path(copy.path),
            copy.format,
            target,
            target_format,
            allocation,
            on_bytes=lambda done, all_: on_bytes(
                foreign.allocated + (image * done // all_ if all_ else 0), foreign.allocated + image
            ),
            limit=limit,
            inherit=inherit,
            capacity=capacity,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(foreign: Foreign, folder: Path, on_copied: Callable[[int], None], limit: Limit) -> None:
    before = 0

    def hear(done: int, _all: int) -> None:
        on_copied(before + done)

    for file, seal in zip(map(Path, foreign.files), foreign.seals, strict=True):
        copy_file(file, folder / file.name, on_bytes=hear, limit=limit)
        before += (folder / file.name).stat().st_blocks * 512
        if seal_of(file.stat()) != seal:
            raise BadInput(
                _("{name} has changed while it was copied.").format(name=file.name),
                _("Wait until nothing writes to it, then import it again."),
            )


def bringing_folder(target: Path) -> Path:
    """Return the hidden folder that holds the copy; it exists only while the image is made."""
    return target.parent / f".bringing-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}"


def discard(target: Path) -> None:
    """Remove what a killed attempt to bring an image in has left, if there was one."""
    shutil.rmtree(bringing_folder(target), ignore_errors=True)
