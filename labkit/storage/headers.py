"""What images say of themselves, as facts: three sizes, allocation, files, the image below.

The format is always given, never probed; a file that is not what its name says is an error, not a guess.
No other program is run, and a header is not read again until its file has changed.
Knows: image headers and the host's files. Must not know: libvirt, plans.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.model.disk import FLAT
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.storage.containers import is_blank_qcow2, read_header
from labkit.storage.files import host_errors
from labkit.storage.header_values import BadHeader, Extent, Header
from labkit.storage.plain import open_plain, opened_plain

SETTLED = 100_000_000
"""Nanoseconds that a file must be unchanged to be remembered: two writes in a short time may leave the same time."""

KNOWN_AT_MOST = 20_000
"""How many images' facts are remembered."""

_known: dict[tuple[str, Format], tuple[tuple[int, ...], ImageFacts]] = {}
_DRIVERS = {format.driver: format for format in Format}
_FORMATS = {str(format): format for format in Format}
_PROTOCOL = re.compile(r"[^/]*:")


def read_image(path: Path, format: Format) -> ImageFacts:
    """Return an image's facts.

    Args:
        path: absolute. format: of the image; never probed.

    Raises:
        FileNotFoundError: it is gone. HostTrouble: its header is of another format or damaged, it is not a regular
            file, or it depends on something other than an image file.
    """
    return _read(str(path), format)


def leads_elsewhere(path: Path) -> bool:
    """Return whether an image stands on something other than a file, such as a server: `read_image` refuses those."""
    try:
        with opened_plain(path) as file:
            header = read_header(file.fileno(), Format.QCOW2)
    except (OSError, HostTrouble, BadHeader):
        return False
    return header.data_file or bool(header.backing and _PROTOCOL.match(header.backing))


def is_blank(path: Path) -> bool:
    """Whether nothing was ever written into a qcow2 image: its table of tables is empty.

    Raises:
        FileNotFoundError: it is gone. HostTrouble: it cannot be read.
    """
    try:
        with opened_plain(path) as file:
            return is_blank_qcow2(file.fileno())
    except FileNotFoundError:
        raise
    except (OSError, BadHeader) as error:
        raise _trouble(str(path), str(error)) from error


def is_blank_or_gone(path: Path) -> bool:
    """Whether nothing was ever written into a qcow2 image, or it does not exist.

    Raises:
        HostTrouble: it cannot be read.
    """
    try:
        return is_blank(path)
    except FileNotFoundError:
        return True


def is_image_name(path: str) -> bool:
    """Whether a file has the name of an image, which ends with its format."""
    name = os.path.basename(path)
    return name.rpartition(".")[2] in _FORMATS and not name.endswith(FLAT) and not name.startswith(".")


def read_folder(folder: Path) -> dict[str, ImageFacts]:
    """Return the images in a folder by absolute path, sorted; their names end in their format.

    Files that cannot be read as their names say are left out.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return {}
    except OSError:
        with host_errors(folder):
            raise
    images: dict[str, ImageFacts] = {}
    for name in filter(is_image_name, names):
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError, HostTrouble):
            images[path] = _read(path, _FORMATS[name.rpartition(".")[2]])
    return images


def read_chain(path: Path, format: Format) -> tuple[ImageFacts, ...]:
    """Return an image and all images below it, top → base.

    Raises:
        FileNotFoundError: one is gone. HostTrouble: one cannot be read, or they form a ring.
    """
    layers = [read_image(path, format)]
    while (backing := layers[-1].backing) is not None:
        backing_format = layers[-1].backing_format
        if backing_format is None:
            raise _trouble(layers[-1].path, _("it does not record the format of the image below it"))
        if any(backing == layer.path for layer in layers):
            raise _trouble(str(path), _("it is a difference to itself"))
        layers.append(read_image(Path(backing), backing_format))
    return tuple(layers)


def _read(path: str, format: Format) -> ImageFacts:
    known = _known.get((path, format))
    if known is not None and _mark(os.lstat(path)) == known[0]:
        return known[1]
    facts, info = _look(path, format)
    if len(facts.files) == 1 and time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > SETTLED:
        if len(_known) >= KNOWN_AT_MOST:
            _known.clear()
        _known[path, format] = (_mark(info), facts)
    return facts


def _mark(info: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to, replaced, made read-only or writable."""
    return info.st_dev, info.st_ino, info.st_size, info.st_blocks, info.st_mode, info.st_mtime_ns, info.st_ctime_ns


def _look(path: str, format: Format) -> tuple[ImageFacts, os.stat_result]:
    try:
        file = open_plain(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _trouble(path, error.strerror or str(error)) from error
    try:
        info = os.fstat(file)
        header = read_header(file, format)
    except BadHeader as error:
        raise _trouble(path, str(error)) from error
    except OSError as error:
        raise _trouble(path, error.strerror or str(error)) from error
    finally:
        os.close(file)
    if header.data_file:
        raise _trouble(path, _("it keeps its data in a file of its own choice"))
    parts = [info, *(_stat_extent(path, extent) for extent in header.extents)]
    allocated = sum(part.st_blocks for part in parts) * 512
    backing, backing_format = _backing(path, format, header)
    is_full = allocated >= header.capacity and backing is None
    facts = ImageFacts(
        path=path,
        format=format,
        capacity=header.capacity,
        length=sum(part.st_size for part in parts),
        allocated=allocated,
        allocation=header.allocation or (Allocation.FIXED if is_full else Allocation.DYNAMIC),
        tells=header.allocation is not None or not is_full,
        files=(path, *(os.path.join(os.path.dirname(path), extent.name or "") for extent in header.extents)),
        backing=backing,
        backing_format=backing_format,
        frozen=not info.st_mode & stat.S_IWUSR,
        internal=header.internal,
    )
    return facts, info


def _stat_extent(path: str, extent: Extent) -> os.stat_result:
    if not is_plain_name(extent.name):
        raise _trouble(path, _("it keeps its data in a file of its own choice"))
    try:
        info = os.lstat(os.path.join(os.path.dirname(path), extent.name or ""))
    except OSError as error:
        raise _trouble(path, _("its second file {name} is missing").format(name=extent.name)) from error
    if not stat.S_ISREG(info.st_mode):
        raise _trouble(path, _("its second file {name} is no plain file").format(name=extent.name))
    if info.st_size < extent.offset + extent.length and extent.kind != "SPARSE":
        raise _trouble(path, _("its second file {name} is too short").format(name=extent.name))
    return info


def is_plain_name(name: str | None) -> bool:
    """Whether a name is a plain file name, so a file in the same folder."""
    return bool(name) and name not in (".", "..") and not set(name or "") & set("/:\0\n")


def _backing(path: str, format: Format, header: Header) -> tuple[str | None, Format | None]:
    if header.backing is None:
        return None, None
    if format is not Format.QCOW2 or _PROTOCOL.match(header.backing):
        raise _trouble(path, _("it is a difference to {name}, which the lab cannot follow").format(name=header.backing))
    below = os.path.normpath(os.path.join(os.path.dirname(path), header.backing))
    return below, _DRIVERS.get(header.backing_format or "")


def _trouble(path: str, why: str) -> HostTrouble:
    return HostTrouble(
        _("{name} cannot be used as a disk image: {why}.").format(name=os.path.basename(path), why=why),
        _("Another program may have written to it. Restore the file from a copy, or delete it."),
        details=path,
    )
