"""Where a lab is: `lab.json` in its folder says which lab it is, and where the folder was when it was last opened.

    home/lab.json    {"id": …, "path": …, "device": …, "inode": …}

A folder can be moved, copied, carried elsewhere, brought back from a backup. The path decides; device and inode only
show that two paths lead to the same folder: alone they prove nothing (NFS, btrfs, vfat, containers).
Knows: that file. Must not know: libvirt, what is done about a lab that was moved.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import uuid
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from pathlib import Path

from labkit.engine.folders import labs_folder
from labkit.errors import HostTrouble, WrongState
from labkit.language import _
from labkit.storage.bounded import MOST_NUMBER, read_json
from labkit.storage.files import host_errors
from labkit.storage.whole_files import write_new, write_whole
from labkit.units import KIB

MOST_BYTES = 16 * KIB
"""The most bytes of a `lab.json`."""


class Relocated(WrongState):
    """A lab's folder is at another path than it was: moved, or copied.

    Attributes:
        home: the folder.
    """

    def __init__(self, message: str, hint: str, *, home: Path) -> None:
        super().__init__(message, hint)
        self.home = home


_OURS = ("disks", "memory", "journal")  # folders that are empty unless this was a lab


class Standing(Enum):
    """How the path of a lab's folder relates to the lab's recorded path."""

    SAME = auto()
    """The same path; or another one, while the old one leads to this folder too."""
    REACHED_ANEW = auto()
    """The same folder at another path; the old path no longer leads to it."""
    MOVED = auto()
    """Another path, and the lab is not at the old path."""
    COPIED = auto()
    """Another path, and the lab is at the old path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The content of `lab.json`: which lab a folder is, and where it was.

    Attributes:
        id: the lab's. path: absolute; "" if not known. device, inode: those of the folder at that path.
        let_go: whether the hypervisor was made to forget it (`labkit lab forget`).
    """

    id: str
    path: str = ""
    device: int = 0
    inode: int = 0
    let_go: bool = False


def place_file(home: Path) -> Path:
    """Return the path of a lab's `lab.json`."""
    return home / "lab.json"


def read_place(home: Path) -> Place:
    """Return the content of a folder's `lab.json`.

    Raises:
        FileNotFoundError: there is none. HostTrouble: it cannot be read.
    """
    path = place_file(home)
    try:
        return _checked(read_json(path, Place, most=MOST_BYTES))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise _lost(home, _("{path} cannot be read: the lab has lost its identity."), str(error)) from error


def _checked(place: Place) -> Place:
    place = replace(place, id=str(uuid.UUID(place.id)))
    if place.path and (not os.path.isabs(place.path) or not place.path.isprintable()):
        raise ValueError("no absolute path")
    return place


def _lost(home: Path, sentence: str, details: str = "") -> HostTrouble:
    return HostTrouble(
        sentence.format(path=place_file(home)),
        _("What is in the folder is untouched. {command} finds out again which lab it is.").format(
            command=command("restore", home)
        ),
        details=details,
    )


def command(verb: str, home: Path) -> str:
    """Return the `labkit lab` command line for a verb and a lab's folder."""
    where = "" if home.parent == labs_folder() else f" --home {shlex.quote(str(home.parent))}"
    return f"./lab run labkit lab {verb} {shlex.quote(home.name)}{where}"


def draw_identity(home: Path) -> None:
    """Give a folder that is not a lab yet an identity; if two processes do so at once, they get the same.

    Raises:
        HostTrouble: it holds files of a lab already, whose machines would not belong to a new identity.
    """
    if any(next((home / name).glob("[!.]*"), None) for name in _OURS) or (home / "record.json").exists():
        if place_file(home).exists():
            return  # another kernel was faster, and has already begun
        raise _lost(home, _("{path} is missing: the lab has lost its identity."))
    with host_errors(home), contextlib.suppress(FileExistsError):  # another kernel was first: its id counts
        write_new(place_file(home), _dump(here(home, Place(id=str(uuid.uuid4())))).encode())


def write_place(home: Path, place: Place) -> None:
    """Write a lab's `lab.json`, durably."""
    with host_errors(place_file(home)):
        write_whole(place_file(home), _dump(place))


def _dump(place: Place) -> str:
    return json.dumps({name: value for name, value in asdict(place).items() if value or name == "id"})


def here(home: Path, place: Place) -> Place:
    """Return a lab's place with the present path, device and inode."""
    info = home.stat()
    return Place(id=place.id, path=str(home), device=_fold(info.st_dev), inode=_fold(info.st_ino), let_go=place.let_go)


def _fold(number: int) -> int:
    """A device or inode number as it is stored: some file systems use all 64 bits."""
    return number & MOST_NUMBER


def find_standing(home: Path, place: Place) -> Standing:
    """Return how the path of a lab's folder relates to the lab's recorded path."""
    if place.path in ("", str(home)):
        return Standing.COPIED if not place.path and find_twin(home, place) is not None else Standing.SAME
    old = Path(place.path)
    with contextlib.suppress(OSError):
        if os.path.samefile(old, home):
            return Standing.SAME
    if is_lab(old, place.id):
        return Standing.COPIED
    info = home.stat()
    same = (_fold(info.st_dev), _fold(info.st_ino)) == (place.device, place.inode)
    return Standing.REACHED_ANEW if same else Standing.MOVED


def is_let_go(home: Path) -> bool:
    """Return whether a lab was let go: the hypervisor has forgotten it until somebody opens it by name."""
    with contextlib.suppress(FileNotFoundError, HostTrouble):
        return read_place(home).let_go
    return False


def is_lab(home: Path, lab_id: str) -> bool:
    """Return whether a folder is the lab of this id; if that cannot be read, it may be."""
    try:
        return read_place(home).id == lab_id
    except NotADirectoryError:
        return False
    except FileNotFoundError:
        return _recorded_id(home) == lab_id  # its lab.json is lost, but it is still that lab
    except HostTrouble:
        return os.path.lexists(home)


def _recorded_id(home: Path) -> str:
    """The id of the lab that a folder's record belongs to; "" if there is no readable record."""
    from labkit.engine.record_file import read_record

    with contextlib.suppress(HostTrouble, OSError):
        record = read_record(home)
        return record.lab_id if record else ""
    return ""


def find_twin(home: Path, place: Place) -> Path | None:
    """Return another folder beside a lab's that is the same lab by its own `lab.json` and has not moved, or None."""
    for other in sorted(home.parent.glob("*/lab.json")):
        if other.parent == home:
            continue
        with contextlib.suppress(HostTrouble, OSError):
            twin = read_place(other.parent)
            if twin.id == place.id:
                return other.parent
    return None


def check_place(home: Path, place: Place) -> Place:
    """Return a lab's place if nothing has to be asked; its path is the one to work with.

    Raises:
        Relocated: the folder was moved or copied; which of the two is asked (`asking`), never guessed.
    """
    standing = find_standing(home, place)
    if standing is Standing.SAME:
        return place if place.path else here(home, place)
    if standing is Standing.REACHED_ANEW:
        return here(home, place)
    if standing is Standing.COPIED:
        old = place.path or str(find_twin(home, place))
        sentence = _("The lab in {here} is also in {old}: one of the two folders is a copy of the other.")
    else:
        old = place.path
        sentence = _("The lab in {here} was in {old} when it was last opened, and is not there any more.")
    hint = _(
        "Nothing was changed. If the lab was moved here, type {move}; if this is a copy that is to be a lab of "
        "its own, type {copy}."
    )
    backup = _("If it is a backup, keep it outside of the folder of labs.") if standing is Standing.COPIED else ""
    raise Relocated(
        sentence.format(here=home, old=old),
        " ".join(filter(None, (hint.format(move=command("move", home), copy=command("copy", home)), backup))),
        home=home,
    )
