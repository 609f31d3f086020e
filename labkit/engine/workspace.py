"""Where things are: the data folder, a lab's folder and its identity.

    data folder   images/ (guest images, shared)  labs/ (unless LABKIT_HOME or home= say elsewhere)
    home/NAME     lab.json  disks/  memory/  consoles/  journal/  locks/

Knows: folders. Must not know: what is done in them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from labkit.engine.folders import data_folder, labs_folder
from labkit.engine.place import Place, check_place, draw_identity, read_place
from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.storage.files import close_folder, host_errors, list_files, make_private_folder
from labkit.units import check_name, is_name

_PARTS = ("disks", "memory", "consoles", "journal", "locks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A lab's folder.

    Attributes:
        name, id: of the lab. home: its folder, absolute. images: the folder of guest images.
    """

    name: str
    id: str
    home: Path
    images: Path

    @property
    def disks(self) -> Path:
        """The folder of its disk images."""
        return self.home / "disks"

    @property
    def memory(self) -> Path:
        """The folder of the memory of snapshots."""
        return self.home / "memory"

    @property
    def consoles(self) -> Path:
        """The folder in which the hypervisor logs the serial consoles."""
        return self.home / "consoles"

    @property
    def journal(self) -> Path:
        """The folder of the journal."""
        return self.home / "journal"

    @property
    def sockets(self) -> Path:
        """The folder of the sockets of its disks' servers: in the runtime folder, since their paths must be short."""
        return Path(os.environ.get("XDG_RUNTIME_DIR") or self.home) / "labkit" / self.id[:8]

    def socket(self, disk: str) -> Path:
        """Return the path of the socket that a disk is served at, if it is."""
        return self.sockets / f"{hashlib.sha256(disk.encode()).hexdigest()[:12]}.nbd"

    @property
    def locks(self) -> Path:
        """The folder of the lock files."""
        return self.home / "locks"


def list_labs(home: str | Path | None = None) -> list[str]:
    """Return the names of the labs in a home, sorted."""
    folder = labs_folder(home)
    with host_errors(folder):
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if _is_lab(path))


def _is_lab(folder: Path) -> bool:
    """Whether a folder among the labs is one: also if it has lost its identity, or if this user may not look into it.

    Opening such a lab says what is wrong with it, and how to go on.
    """
    if any(os.path.isfile(folder / name) for name in ("lab.json", "record.json")):
        return True
    return is_name(folder.name) and os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)


def has_disks(folder: Path) -> bool:
    """Return whether a folder has one for disks: it is, or was, a lab's.

    Raises:
        HostTrouble: this user may not look into it.
    """
    with host_errors(folder):
        return (folder / "disks").is_dir()


def check_lab(name: str, home: str | Path | None = None) -> str:
    """Return the name of an existing lab, since opening one that does not exist would make it.

    Raises:
        NotFound: there is none of that name.
    """
    lost = has_disks(labs_folder(home) / check_name(name, what=_("lab")))  # opening it says how to restore it
    if name not in (names := list_labs(home)) and not lost:
        hint = _("These are there: {names}.").format(names=", ".join(names) or _("none"))
        raise NotFound(_("There is no lab {name}.").format(name=name), hint)
    return name


def open_workspace(name: str, home: str | Path | None = None) -> Workspace:
    """Return the lab's folder, made on first use.

    Raises:
        BadInput: the name or the folder cannot be used. HostTrouble: it cannot be written.
    """
    name = check_name(name, what=_("lab"))
    folder = labs_folder(home) / name
    if "," in str(folder) or not str(folder).isprintable():
        raise BadInput(
            _("The folder {folder!r} has a comma or a control character in its name, which QEMU cannot take.").format(
                folder=str(folder)
            ),
            _("Choose another with LABKIT_HOME."),
        )
    for each in (data_folder(), folder, *(folder / part for part in _PARTS)):
        make_private_folder(each)
    place = _identity(folder)
    for each in (folder, *(folder / part for part in _PARTS)):
        close_folder(each)  # now it is certain that it is a lab
    if place.path:
        folder = Path(place.path)  # the path in its definitions; another path may lead there too
    return Workspace(name=folder.name, id=place.id, home=folder, images=data_folder() / "images")


def _identity(folder: Path) -> Place:
    """Return the place of a lab's folder; its identity is made when the lab is first opened.

    Raises:
        HostTrouble: its identity is lost. WrongState: the folder was moved or copied.
    """
    try:
        place = read_place(folder)
    except FileNotFoundError:
        draw_identity(folder)
        place = read_place(folder)
    return check_place(folder, place)


def forget_lab(name: str, home: str | Path | None = None) -> list[str]:
    """Remove the folder of a lab that was cleaned: its locks, its empty folders, its identity.

    Returns:
        The names of files left in it because others need them; then the folder stays.
    """
    folder = labs_folder(home) / check_name(name, what=_("lab"))
    left = list_files(folder / "disks", folder / "memory")
    if not left:
        with host_errors(folder):
            shutil.rmtree(folder)
    return [Path(path).name for path in left]
