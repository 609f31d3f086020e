"""Images made, converted and grown with qemu-img, always with the format given.

*Fixed* means truly allocated, written with zeros, in every format: qemu-img lays the image out, labkit fills its holes.
A new image appears under its name only when it is whole and on the disk.
Source: QEMU docs/tools/qemu-img.rst.
Knows: qemu-img's words. Must not know: libvirt, plans.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import BadInput
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit, OnBytes, unheard
from labkit.model.disk import backing_name
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.image_commands import convert_argv, create_argv, rebase_argv, resize_argv
from labkit.storage.atomic import creating
from labkit.storage.headers import read_chain, read_image
from labkit.storage.maps import read_map
from labkit.storage.process import run
from labkit.storage.zeros import fill_holes
from labkit.units import MIB

_PIECE = 16 * MIB


def create(
    path: Path,
    format: Format,
    capacity: int,
    allocation: Allocation,
    *,
    backing: Path | None = None,
    backing_format: Format | None = None,
    cluster_size: int | None = None,
    extended_l2: bool = False,
    replace: bool = False,
    on_bytes: OnBytes = unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Create an empty image. After an error nothing is left.

    Args:
        path: absolute. capacity: bytes, a multiple of 512; VHD rounds it up to a disk geometry.
        allocation: fixed is written with zeros before this returns.
        backing: absolute; the image that it will stand on (qcow2 only). Its name is recorded relative to `path`, with
            `backing_format`; it is not opened.
        cluster_size: bytes; extended_l2: subclusters; both qcow2 only.
        replace: whether it atomically replaces an existing one.
        on_bytes: called with zeros written and zeros in all. limit: time and cancelling. inherit: locks that the child
            keeps.

    Raises:
        BadInput: options that the format does not have. AlreadyExists: the file exists. NoSpace, HostTrouble: it cannot
            be written. Cancelled, TimedOut: from the limit.
    """
    if format is not Format.QCOW2 and (backing or cluster_size or extended_l2):
        raise BadInput(
            _("A {format} image has no backing file and no clusters to choose.").format(format=format),
            _('Use format="qcow2".'),
        )
    if backing and (backing_format is None or allocation is Allocation.FIXED):
        raise BadInput(
            _("A differencing image is dynamic and records the format of the image below it."),
            _('Use allocation="dynamic" and name the format.'),
        )
    with creating(path, replace=replace) as place:
        below = (backing_name(str(path), str(backing)), backing_format) if backing and backing_format else None
        argv = create_argv(
            str(place), format, capacity, allocation, below=below, cluster_size=cluster_size, extended_l2=extended_l2
        )
        run(argv, limit=limit, inherit=inherit)
        if allocation is Allocation.FIXED:
            _fill(place, format, on_bytes, limit)


def convert(
    source: Path,
    source_format: Format,
    target: Path,
    target_format: Format,
    allocation: Allocation,
    *,
    on_bytes: OnBytes = unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
    capacity: int | None = None,
) -> None:
    """Copy what an image holds, with all layers below it, into a new image of any format.

    The source is only read. After an error nothing is left of the target.

    Args:
        source, target: absolute. capacity: bytes of the target, at least the source's; None: the same.
        on_bytes: called with bytes done and bytes in all: the data of the source, or the capacity if fixed.
        limit: time and cancelling. inherit: locks that the child keeps.

    Raises:
        BadInput: the capacity is smaller. AlreadyExists: the target exists.
        FileNotFoundError: the source, or a layer of it, is gone. NoSpace, HostTrouble: it cannot be written.
        Cancelled, TimedOut: from the limit.
    """
    layers = read_chain(source, source_format)
    old = layers[0].capacity
    if capacity is not None and capacity < old:
        raise BadInput(
            _("{name} holds {old} bytes and would not fit into {new}.").format(name=source.name, old=old, new=capacity),
            _("Disks can grow, not shrink: name a larger capacity."),
        )
    fixed = allocation is Allocation.FIXED
    data = old if fixed else min(old, sum(layer.allocated for layer in layers))
    rest = (capacity or old) - old if fixed else 0
    with creating(target) as place:
        larger = capacity is not None and capacity > old
        if capacity is not None and larger:
            run(create_argv(str(place), target_format, capacity, allocation), limit=limit, inherit=inherit)
        argv = convert_argv(str(source), source_format, str(place), target_format, allocation, into_made=larger)
        run(argv, limit=limit, inherit=inherit, on_fraction=lambda part: on_bytes(int(part * data), data + rest))
        if fixed:
            _fill(place, target_format, lambda done, _total: on_bytes(data + min(done, rest), data + rest), limit)
        limit.check()
    on_bytes(data + rest, data + rest)


def resize(
    path: Path,
    format: Format,
    capacity: int,
    *,
    allocation: Allocation | None = None,
    on_bytes: OnBytes = unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Grow an image in place; a fixed one stays fixed. After an error it has its old capacity.

    Called again after a crash, it goes on where it was.

    Args:
        path: absolute; no machine may have it open. format: raw or qcow2. capacity: bytes.
        allocation: the new one; None: the same.
        on_bytes: called with zeros written and zeros in all.

    Raises:
        BadInput: another format, or a smaller capacity. NoSpace, HostTrouble: it cannot be written.
        Cancelled, TimedOut: from the limit.
    """
    facts = read_image(path, format)
    if format not in (Format.RAW, Format.QCOW2):
        raise BadInput(
            _("A {format} image cannot grow in its place.").format(format=format),
            _("Convert it: the new image can be larger."),
        )
    if capacity < facts.capacity:
        raise BadInput(
            _("{name} holds {old} bytes and cannot shrink to {new}.").format(
                name=path.name, old=facts.capacity, new=capacity
            ),
            _("Disks can grow, not shrink: name a larger capacity."),
        )
    try:
        run(resize_argv(str(path), format, capacity), limit=limit, inherit=inherit)
        fixed = (allocation or facts.allocation) is Allocation.FIXED
        if fixed and format is Format.QCOW2:
            _write_zeros(path, on_bytes, limit, inherit)
        if fixed:
            fill_holes(path, unheard if format is Format.QCOW2 else on_bytes, limit)
    except BaseException:
        _shrink_back(facts, inherit)
        raise


def _write_zeros(path: Path, on_bytes: OnBytes, limit: Limit, inherit: Sequence[int]) -> None:
    """Write zeros wherever a qcow2 has no place in its file yet.

    They are written through its own tables, which stay valid if this fails; `resize --preallocation` would leave them
    invalid.
    """
    holes = [region for region in read_map(read_chain(path, Format.QCOW2), limit=limit) if region.offset is None]
    pieces = [(at, min(_PIECE, hole.end - at)) for hole in holes for at in range(hole.start, hole.end, _PIECE)]
    done, total = 0, sum(length for _at, length in pieces)
    for at, length in pieces:
        argv = ["qemu-io", "-f", Format.QCOW2.driver, "-c", f"write -P 0 {at} {length}", str(path)]
        run(argv, limit=limit, inherit=inherit)
        done += length
        on_bytes(done, total)


def _shrink_back(facts: ImageFacts, inherit: Sequence[int]) -> None:
    """Give an image its old capacity back: what was added has never been used."""
    if facts.format is Format.RAW:
        os.truncate(facts.path, facts.length)
    elif read_image(Path(facts.path), facts.format).capacity != facts.capacity:
        argv = ["qemu-img", "resize", "-q", "--shrink", "-f", facts.format.driver, facts.path, str(facts.capacity)]
        run(argv, inherit=inherit)


def _fill(path: Path, format: Format, on_bytes: OnBytes, limit: Limit) -> None:
    for file in read_image(path, format).files:
        fill_holes(Path(file), on_bytes, limit)


def rebase(
    path: Path,
    backing: Path | None,
    backing_format: Format | None,
    *,
    on_bytes: OnBytes = unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Let a qcow2 image depend on a lower layer (None: on nothing), its content unchanged.

    What the layers in between hold is copied up into it. If that is broken off, it depends on the same image as before,
    and can be rebased again.

    Args:
        path: absolute; no process may have it open. backing: absolute; its name is recorded relative.
    """
    below = (backing_name(str(path), str(backing)), backing_format) if backing and backing_format else None
    size = read_image(path, Format.QCOW2).capacity
    run(
        rebase_argv(str(path), below),
        limit=limit,
        inherit=inherit,
        on_fraction=lambda part: on_bytes(int(part * size), size),
    )


def commit(path: Path, format: Format, *, limit: Limit = NO_LIMIT, inherit: Sequence[int] = ()) -> None:
    """Move what a differencing image holds down into the image below, on which nothing else may depend."""
    run(["qemu-img", "commit", "-q", "-d", "-f", format.driver, str(path)], limit=limit, inherit=inherit)
