"""Image files from outside, inspected without trust. `importing` makes an image of the lab from one.

An image can name other files and servers (a backing file, a data file, a VMDK's extents) and can pretend to be what it
is not. So labkit reads its bytes first; only if they name nothing but its own files is qemu-img asked, with the format
given and with little memory and time.
Knows: headers, the host's files, qemu-img's words. Must not know: libvirt, plans.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.errors import BadInput, Cancelled, HostTrouble, LabError, NotFound, TimedOut
from labkit.language import _
from labkit.limits import Limit
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.storage.containers import read_header, true_format
from labkit.storage.header_values import BadHeader, Extent, Header
from labkit.storage.headers import is_plain_name
from labkit.storage.maps import LONGEST
from labkit.storage.plain import NotPlain, open_plain
from labkit.storage.process import run
from labkit.units import TIB

MOST_CAPACITY = 2 * TIB
"""A larger image is refused as a trap or a mistake."""

_SECONDS = 20.0
_SUFFIXES = {
    **{ending: format for format in Format for ending in (str(format), format.driver)},
    **dict.fromkeys(("img", "dd", "iso", "bin"), Format.RAW),
}


def inspect(path: Path, format: Format | None = None, *, most: int = MOST_CAPACITY) -> Foreign:
    """Inspect a file from outside.

    Args:
        path: of the file. format: what it is said to be; None: as the ending of its name says, or if that is unknown
            its own bytes. most: the largest capacity in bytes that is accepted.

    Raises:
        NotFound: there is no such file. BadInput: it is not a regular file, not of that format, damaged, encrypted, too
            large, or names other files. HostTrouble: it cannot be read.
    """
    name = path.name
    try:
        real = os.path.realpath(path, strict=True)
        file = open_plain(real)
    except NotPlain as error:
        why = _("it is a folder, a pipe or a device")
        raise _refused(name, why, _("Name the image file itself.")) from error
    except (OSError, ValueError) as error:  # the latter: a NUL in its name
        raise _cannot_open(path, error) from error
    try:
        info = os.fstat(file)
        true = _agree(name, format, true_format(file))
        header = read_header(file, true)
    except BadHeader as error:
        raise _refused(name, str(error), _("Fetch it again: it may have been cut short.")) from error
    except OSError as error:
        raise _cannot_open(path, error) from error
    finally:
        os.close(file)
    _refuse_dependence(name, header)
    _refuse_size(name, header.capacity, most)
    parts = [(real, info), *(_look_at_extent(name, real, extent) for extent in header.extents if extent.name)]
    files = tuple(part for part, _info in parts)
    if (length := sum(part.st_size for _file, part in parts)) > LONGEST:
        why = _("its file is {length} bytes long, which no disk needs").format(length=length)
        raise _refused(name, why, _("Convert it where it was made: qemu-img convert writes what it holds."))
    capacity = ask_capacity(name, real, true, files)  # QEMU's answer counts, since its versions differ about some VHDs
    _refuse_size(name, capacity, most)
    allocated = sum(part.st_blocks for _file, part in parts) * 512
    return Foreign(
        path=real,
        format=true,
        capacity=capacity,
        length=length,
        allocated=allocated,
        allocation=header.allocation or (Allocation.FIXED if allocated >= capacity else Allocation.DYNAMIC),
        data=_measure(name, real, true),
        files=files,
        seals=tuple(seal_of(part) for _file, part in parts),
    )


def _agree(name: str, said: Format | None, true: Format | None) -> Format:
    """Return the format, if the claimed one and the one that the bytes show agree."""
    claimed = said or _SUFFIXES.get(name.rpartition(".")[2].lower()) or true
    if claimed is None:
        raise BadInput(
            _("{name} does not tell what it is.").format(name=name),
            _('If it is the plain content of a disk, import it with format="raw".'),
        )
    found = true or Format.RAW
    if claimed is found:
        return claimed
    if true is None:
        raise _refused(
            name,
            _("it is said to be {format}, but does not begin as one").format(format=claimed),
            _('Fetch it again; or, if it is the plain content of a disk, import it with format="raw".'),
        )
    raise _refused(
        name,
        _("it is said to be {claimed}, but its content is {true}").format(claimed=claimed, true=true),
        _('A name does not change the format. Import it with format="{true}".').format(true=true),
    )


def _refuse_size(name: str, capacity: int, most: int) -> None:
    if not 0 < capacity <= most:
        raise _refused(
            name,
            _("it claims a capacity of {capacity} bytes").format(capacity=capacity),
            _("Images of up to {most} bytes are brought in.").format(most=most),
        )


def _refuse_dependence(name: str, header: Header) -> None:
    alone = _("Convert it to one whole image where it was made, and bring that.")
    if header.backing is not None:
        raise _refused(name, _("it is only the difference to {file}").format(file=header.backing), alone)
    if header.data_file:
        raise _refused(name, _("it keeps its data in another file"), alone)
    if header.encrypted:
        raise _refused(name, _("it is encrypted"), _("Decrypt it where it was made, and bring that."))
    if header.corrupt:
        raise _refused(name, _("it is marked as damaged"), _("Repair it with qemu-img check -r all on a copy."))
    for extent in header.extents:
        if extent.kind not in ("FLAT", "VMFS", "SPARSE", "ZERO") or (extent.kind != "ZERO" and not extent.name):
            raise _refused(name, _("it has a part of the unknown kind {kind}").format(kind=extent.kind), alone)
        if extent.name is not None and not is_plain_name(extent.name):
            raise _refused(name, _("it wants the file {file}").format(file=extent.name), alone)


def _look_at_extent(name: str, path: str, extent: Extent) -> tuple[str, os.stat_result]:
    place = os.path.join(os.path.dirname(path), extent.name or "")
    try:
        file = open_plain(place)
    except OSError as error:
        why = _("its part {file} is missing or a link").format(file=extent.name)
        raise _refused(name, why, _("Put all its files into one folder.")) from error
    info = os.fstat(file)
    try:
        if extent.kind == "SPARSE":
            part = read_header(file, Format.VMDK)
            whole = not part.extents and part.backing is None
        else:
            whole = info.st_size >= extent.offset + extent.length
    except (BadHeader, OSError):
        whole = False
    finally:
        os.close(file)
    if not whole:
        raise _refused(name, _("its part {file} is damaged").format(file=extent.name), _("Fetch it again."))
    return place, info


def ask_capacity(name: str, path: str, format: Format, files: Sequence[str]) -> int:
    """Return the capacity as qemu-img counts it, and make sure that it saw no other files than we did.

    Args:
        name: for the error. files: those it may depend on.

    Raises:
        BadInput: it depends on others, is encrypted, or cannot be read.
    """
    told = _caged(name, ["qemu-img", "info", "-U", "--output=json", "-f", format.driver, path])
    special = told.get("format-specific", {}).get("data", {})
    others = {
        told.get("backing-filename"),
        special.get("data-file"),
        *(extent.get("filename") for extent in special.get("extents", ()) if isinstance(extent, dict)),
    }
    if others - {None, *files} or told.get("encrypted"):
        raise _refused(name, _("it depends on other files"), _("Convert it to one whole image where it was made."))
    return int(told["virtual-size"])


def rename_backing(path: Path, below: str, format: Format) -> None:
    """Let a qcow2 image from outside depend on the file `below` in the same folder; only its header is changed.

    Raises:
        HostTrouble: qemu-img cannot read it.
    """
    argv = ["qemu-img", "rebase", "-u", "-f", Format.QCOW2.driver, "-b", below, "-F", format.driver, str(path)]
    run(argv, limit=Limit(_SECONDS, what=path.name), caged=True)


def _measure(name: str, path: str, format: Format) -> int:
    told = _caged(name, ["qemu-img", "measure", "-U", "--output=json", "-f", format.driver, "-O", "raw", path])
    return int(told["required"])


def _caged(name: str, argv: Sequence[str]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(run(argv, limit=Limit(_SECONDS, what=name), caged=True).output)
    except (Cancelled, TimedOut, HostTrouble, ValueError) as error:
        details = error.details if isinstance(error, LabError) else ""
        raise _refused(name, _("qemu-img cannot read it"), _("Fetch it again."), details) from error
    return answer


def seal_of(info: os.stat_result) -> tuple[int, int, int]:
    """Return what shows that a file is the same and unchanged: its inode number, length and times."""
    return info.st_ino, info.st_size, info.st_mtime_ns


def _refused(name: str, why: str, hint: str, details: str = "") -> BadInput:
    return BadInput(_("{name} is not brought in: {why}.").format(name=name, why=why), hint, details=details)


def _cannot_open(path: Path, error: OSError | ValueError) -> LabError:
    if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(
            _("There is no file {path}.").format(path=path), _("Look at its name, and at the folder you are in.")
        )
    if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG):
        return _refused(path.name, error.strerror or str(error), _("Name the image file itself."))
    return HostTrouble(
        _("{name} cannot be read: {why}.").format(name=path.name, why=error.strerror or error),
        _("Make it readable for yourself, then do it again."),
        details=str(error),
    )
