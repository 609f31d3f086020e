"""Many differencing images on one frozen image; names of images below rewritten; images replaced.

Knows: qcow2 images and their names. Must not know: libvirt, plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labkit.limits import NO_LIMIT, Limit
from labkit.model.disk import backing_name
from labkit.model.image import Format
from labkit.model.image_commands import create_argv, rebase_argv
from labkit.storage.atomic import creating
from labkit.storage.files import host_errors, sync_folder
from labkit.storage.headers import read_image
from labkit.storage.process import run


def link(
    paths: Sequence[Path],
    backing: Path,
    backing_format: Format,
    *,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Create an empty differencing image under each path, all in the folder of the first.

    One is made by qemu-img. The others are copies of it, since all have the same header and no data.
    """
    first, *others = paths
    capacity = read_image(backing, backing_format).capacity
    below = backing_name(str(first), str(backing))
    with creating(first) as place:  # the copies beside it are renamed too: all appear together, synced together
        argv = create_argv(str(place), Format.QCOW2, capacity, below=(below, backing_format))
        run(argv, limit=limit, inherit=inherit)
        data = place.read_bytes()
        with host_errors(first):
            for path in others:
                (place.parent / path.name).write_bytes(data)


def name_backing(path: Path, backing: Path, backing_format: Format) -> None:
    """Write another name for the image below into a qcow2's header; the image of that name must hold the same."""
    run(rebase_argv(str(path), (backing_name(str(path), str(backing)), backing_format), only_name=True))


def replace_image(draft: Path, path: Path, *, frozen: bool) -> None:
    """Put a file in another's place atomically; it may be called again."""
    with host_errors(path):
        if draft.exists():
            draft.chmod(0o444 if frozen else 0o600)
            draft.replace(path)
            sync_folder(path.parent)
