"""The command lines of qemu-img, each made in one place: a step shows it, whoever carries the step out runs it.

The line shown and the line run differ in one thing. An image is made under a draft's name and gets its own name when it
is whole (`storage/atomic.py`). The name of the image below would be another one from the draft's folder, so when it is
run the capacity is given and the image below is not opened. *Fixed* means that qemu-img lays an image out with a place
for each byte; the holes it leaves are filled afterwards.
Source: QEMU docs/tools/qemu-img.rst. Knows: formats. Must not know: files, who runs what.
"""

from __future__ import annotations

from labkit.model.image import Allocation, Format

Below = tuple[str, Format]
"""The image below: its name as it is written in a header, and its format."""

_FIXED = {
    Format.RAW: (),
    Format.QCOW2: ("preallocation=metadata",),
    Format.VDI: ("static=on",),
    Format.VMDK: ("subformat=monolithicFlat",),
    Format.VHD: ("subformat=fixed",),
    Format.VHDX: ("subformat=fixed", "block_state_zero=off"),  # else a written block is allocated once more, at the end
}


def create_argv(
    path: str,
    format: Format,
    capacity: int | None,
    allocation: Allocation = Allocation.DYNAMIC,
    *,
    below: Below | None = None,
    cluster_size: int | None = None,
    extended_l2: bool = False,
) -> list[str]:
    """Return the line that makes an empty image.

    Args:
        capacity: bytes; None: that of the image below, which is opened for it.
        cluster_size: bytes, or None for the format's default. extended_l2: subclusters.
    """
    options = [*(_FIXED[format] if allocation is Allocation.FIXED else ())]
    options += [f"cluster_size={cluster_size}"] if cluster_size else []
    options += ["extended_l2=on"] if extended_l2 else []
    unopened = ["-u"] if below and capacity is not None else []
    size = [] if capacity is None else [str(capacity)]
    return [*("qemu-img", "create", "-f", format.driver), *_below(below), *unopened, *_chosen(options), path, *size]


def convert_argv(
    source: str,
    source_format: Format,
    target: str,
    target_format: Format,
    allocation: Allocation,
    *,
    into_made: bool = False,
) -> list[str]:
    """Return the line that copies what a chain of images holds into one image.

    Args:
        into_made: whether the target has just been made, empty, with its own capacity.
    """
    fixed = allocation is Allocation.FIXED
    return [
        *("qemu-img", "convert", "-p", "-f", source_format.driver, "-O", target_format.driver),
        *(("-n", "--target-is-zero") if into_made else ()),
        *(("-S", "0") if fixed else ()),  # zeros are written too
        *(_chosen(_FIXED[target_format]) if fixed and not into_made else ()),
        *(source, target),
    ]


def rebase_argv(path: str, below: Below | None, *, only_name: bool = False) -> list[str]:
    """Return the line that lets a qcow2 image stand on another (None: on nothing), its content unchanged.

    Args:
        only_name: whether that image holds the same as the one it replaces, so that no data need be compared.
    """
    how = "-u" if only_name else "-p"
    return ["qemu-img", "rebase", how, "-f", Format.QCOW2.driver, *(_below(below) or ("-b", "")), path]


def resize_argv(path: str, format: Format, capacity: int) -> list[str]:
    """Return the line that gives an image another capacity, in its place."""
    return ["qemu-img", "resize", "-f", format.driver, path, str(capacity)]


def _below(below: Below | None) -> tuple[str, ...]:
    return ("-b", below[0], "-F", below[1].driver) if below else ()


def _chosen(options: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return ("-o", ",".join(options)) if options else ()
