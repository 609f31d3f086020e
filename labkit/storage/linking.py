"""Many differencing images on one frozen image, and images put into the place of others.

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

    One is made by qemu-img. The others are copies of it: they have the same header, and nothing else in them.
    """
    first, *others = paths
    capacity = read_image(backing, backing_format).capacity
    below = backing_name(str(first), str(backing))
    with creating(first) as place:  # what is made beside it moves along: all appear at once, and are synced together
        argv = create_argv(str(place), Format.QCOW2, capacity, below=(below, backing_format))
        run(argv, limit=limit, inherit=inherit)
        data = place.read_bytes()
        with host_errors(first):
            for path in others:
                (place.parent / path.name).write_bytes(data)


def name_backing(path: Path, backing: Path, backing_format: Format) -> None:
    """Write another name of the image below into a qcow2's header; that image must hold the same as before."""
    run(rebase_argv(str(path), (backing_name(str(path), str(backing)), backing_format), only_name=True))


def replace_image(draft: Path, path: Path, *, frozen: bool) -> None:
    """Put a file in another's place at one instant; once is enough."""
    with host_errors(path):
        if draft.exists():
            draft.chmod(0o444 if frozen else 0o600)
            draft.replace(path)
            sync_folder(path.parent)
