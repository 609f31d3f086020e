"""Where labkit's data and its labs are: as the environment says, else in the user's data folder.

Knows: the environment. Must not know: what is in the folders.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_dir

from labkit.errors import BadInput
from labkit.language import _


def data_folder() -> Path:
    """Return labkit's data folder: LABKIT_DATA, else the user's data folder for labkit."""
    return _place(os.environ.get("LABKIT_DATA") or user_data_dir("labkit"))


def labs_folder(home: str | Path | None = None) -> Path:
    """Return the folder that holds labs: `home`, else LABKIT_HOME, else `labs` in the data folder."""
    chosen = home or os.environ.get("LABKIT_HOME")
    return _place(chosen) if chosen else data_folder() / "labs"


def _place(folder: str | Path) -> Path:
    """Return a folder's absolute path, which goes down only; `~` is the user's home folder, `~name` another user's.

    Raises:
        BadInput: there is no such user, or the path is relative and the current folder is gone.
    """
    try:
        return _without_ups(Path(folder).expanduser().absolute())
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            _("The folder {folder!r} leads nowhere: {why}.").format(folder=str(folder), why=error),
            _("Name another one with its whole path: LABKIT_HOME, LABKIT_DATA or home=…."),
        ) from error


def _without_ups(path: Path) -> Path:
    """Return an absolute path without `..` and doubled slashes at its beginning; the links below stay as they are."""
    parts = path.parts[1:]
    last = max((index for index, part in enumerate(parts) if part == ".."), default=-1)
    above = Path("/", *parts[: last + 1])
    return (above.resolve() if parts[: last + 1] else above).joinpath(*parts[last + 1 :])
