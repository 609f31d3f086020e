"""Images made, converted, grown, checked and compared with qemu-img, always with the format given.

*Fixed* is truly allocated, written with zeros, in every format: qemu-img lays the image out, we fill its holes.
A new image appears under its name only when it is whole and on the disk.
Source: QEMU docs/tools/qemu-img.rst.
Knows: qemu-img's words. Must not know: libvirt, plans.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.storage.files import OnBytes
from labkit.storage.headers import read_chain, read_image
from labkit.storage.making import making
from labkit.storage.process import run
from labkit.storage.zeros import fill_holes

_FIXED = {
    Format.RAW: "preallocation=off",
    Format.QCOW2: "preallocation=metadata",
    Format.VDI: "static=on",
    Format.VMDK: "subformat=monolithicFlat",
    Format.VHD: "subformat=fixed",
    Format.VHDX: "subformat=fixed,block_state_zero=off",  # else every block is born again at the end when written
}


def _unheard(_done: int, _total: int) -> None:
    pass


def create_argv(
    path: Path,
    format: Format,
    capacity: int,
    allocation: Allocation,
    *,
    backing: str | None = None,
    backing_format: Format | None = None,
    cluster_size: int | None = None,
    extended_l2: bool = False,
) -> list[str]:
    """Return the line that creates an image; `backing` as it will stand in the header."""
    options = [_FIXED[format]] if allocation is Allocation.FIXED else []
    options += [f"cluster_size={cluster_size}"] if cluster_size else []
    options += ["extended_l2=on"] if extended_l2 else []
    return [
        *("qemu-img", "create", "-q", "-f", format.driver),
        *(("-u", "-b", backing, "-F", backing_format.driver) if backing and backing_format else ()),
        *(("-o", ",".join(options)) if options else ()),
        str(path),
        str(capacity),
    ]


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
    on_bytes: OnBytes = _unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Create an empty image. After an error nothing is left.

    Args:
        path: absolute. capacity: bytes, a multiple of 512; VHD rounds it up to a disk geometry.
        allocation: fixed is written with zeros before this returns.
        backing: absolute; the image it will be a difference to (qcow2 only). Its name is recorded
            relative to `path`, with `backing_format`; it is not opened.
        cluster_size: bytes; extended_l2: subclusters; both qcow2 only.
        on_bytes: hears of zeros written. limit: time and cancellation. inherit: locks the child keeps.

    Raises:
        BadInput: options that the format lacks. AlreadyExists: there is such a file.
        NoSpace, HostTrouble: the host's. Cancelled, TimedOut: the limit's.
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
    with making(path) as place:
        argv = create_argv(
            place,
            format,
            capacity,
            allocation,
            backing=os.path.relpath(backing, path.parent) if backing else None,
            backing_format=backing_format,
            cluster_size=cluster_size,
            extended_l2=extended_l2,
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
    on_bytes: OnBytes = _unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
    capacity: int | None = None,
) -> None:
    """Copy what an image, with all layers below it, holds into a new image of any format.

    The source is only read. After an error nothing is left of the target.

    Args:
        source, target: absolute. capacity: bytes of the target, at least the source's; None: the same.
        on_bytes: hears of (bytes done, in all): the data of the source, or the capacity if fixed.
        limit: time and cancellation. inherit: locks the child keeps.

    Raises:
        BadInput: the capacity is smaller. AlreadyExists: there is such a file as the target.
        FileNotFoundError: the source, or a layer of it, is gone. NoSpace, HostTrouble: the host's.
        Cancelled, TimedOut: the limit's.
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
    with making(target) as place:
        larger = capacity is not None and capacity > old
        if capacity is not None and larger:
            run(create_argv(place, target_format, capacity, allocation), limit=limit, inherit=inherit)
        argv = [
            *("qemu-img", "convert", "-p", "-f", source_format.driver, "-O", target_format.driver),
            *(("-n", "--target-is-zero") if larger else ()),
            *(("-S", "0") if fixed else ()),  # zeros are written too
            *(("-o", _FIXED[target_format]) if fixed and not larger else ()),
            *(str(source), str(place)),
        ]
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
    on_bytes: OnBytes = _unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Grow an image in place; a fixed one stays fixed. After an error it has its old capacity.

    Args:
        path: absolute; no machine may have it open. format: raw or qcow2. capacity: bytes.
        on_bytes: hears of zeros written.

    Raises:
        BadInput: another format, or a smaller capacity. NoSpace, HostTrouble: the host's.
        Cancelled, TimedOut: the limit's.
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
    fixed = facts.allocation is Allocation.FIXED
    layout = ("--preallocation=metadata",) if fixed and format is Format.QCOW2 else ()
    try:
        run(
            ["qemu-img", "resize", "-q", "-f", format.driver, *layout, str(path), str(capacity)],
            limit=limit,
            inherit=inherit,
        )
        if fixed:
            fill_holes(path, on_bytes, limit)
    except BaseException:
        _shrink_back(facts, inherit)
        raise


def _shrink_back(facts: ImageFacts, inherit: Sequence[int]) -> None:
    """Give an image its old capacity: what was added has never been used."""
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
    on_bytes: OnBytes = _unheard,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
) -> None:
    """Let a qcow2 image depend on a lower layer (None: on nothing), its content unchanged.

    What lies between moves up into it. Broken off, it still depends on what it did, and can be done again.

    Args:
        path: absolute; no process may have it open. backing: absolute; its name is recorded relative.
    """
    below = os.path.relpath(backing, path.parent) if backing else ""
    form = ("-F", backing_format.driver) if backing and backing_format else ()
    size = read_image(path, Format.QCOW2).capacity
    run(
        ["qemu-img", "rebase", "-p", "-f", Format.QCOW2.driver, "-b", below, *form, str(path)],
        limit=limit,
        inherit=inherit,
        on_fraction=lambda part: on_bytes(int(part * size), size),
    )


def commit(path: Path, format: Format, *, limit: Limit = NO_LIMIT, inherit: Sequence[int] = ()) -> None:
    """Move what a differencing image holds down into the image below it, on which nothing else may depend."""
    run(["qemu-img", "commit", "-q", "-d", "-f", format.driver, str(path)], limit=limit, inherit=inherit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What qemu-img finds in an image's own tables: errors, space lost, and whether the format can be checked."""

    errors: int
    leaks: int
    known: bool = True


def check(path: Path, format: Format, *, limit: Limit = NO_LIMIT) -> Check:
    """Check an image's own tables; what a guest wrote into it is not looked at.

    Raises:
        HostTrouble: it cannot be read. Cancelled, TimedOut: the limit's.
    """
    argv = ["qemu-img", "check", "--output=json", "-f", format.driver, str(path)]
    done = run(argv, limit=limit, accept=(0, 2, 3, 63))
    if done.code == 63:
        return Check(errors=0, leaks=0, known=False)
    told = json.loads(done.output)
    return Check(errors=told.get("corruptions", 0) + told.get("check-errors", 0), leaks=told.get("leaks", 0))


def compare(one: Path, one_format: Format, other: Path, other_format: Format, *, limit: Limit = NO_LIMIT) -> bool:
    """Whether a guest would read the same from two images; what one has beyond the other must be zeros.

    Raises:
        HostTrouble: one cannot be read. Cancelled, TimedOut: the limit's.
    """
    argv = ["qemu-img", "compare", "-f", one_format.driver, "-F", other_format.driver, str(one), str(other)]
    return run(argv, limit=limit, accept=(0, 1)).code == 0


def info(path: Path, format: Format, *, limit: Limit = NO_LIMIT) -> dict[str, Any]:
    """Return what `qemu-img info --output=json` says of an image; also of one in use, reading only.

    Raises:
        HostTrouble: it cannot be read. Cancelled, TimedOut: the limit's.
    """
    argv = ["qemu-img", "info", "-U", "--output=json", "-f", format.driver, str(path)]
    told: dict[str, Any] = json.loads(run(argv, limit=limit).output)
    return told
