"""Addresses of notebooks that are not there: an old bookmark, a typing slip; answered with the one that may be meant.

    GET labkit/address?path=PATH -> {message, path, label}: what is said, what can be opened instead ("" for nothing)

Knows: the folder that the server shows. Must not know: whose notebooks they are, kernels.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path, PurePosixPath

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from labkit.language import _

DEPTH = 3
"""How many folders deep notebooks are looked for."""


class AddressHandler(APIHandler):
    """The handler of `GET labkit/address`."""

    auth_resource = "contents"

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Say of a path that nothing is there, and which notebook may be meant."""
        path = self.get_query_argument("path")
        near = find_near(Path(os.path.expanduser(self.settings["server_root_dir"])), path)
        hint = (
            _("There is nothing at {path}. Your notebooks have other addresses: is it {near}?").format(
                path=path, near=near
            )
            if near
            else _("There is nothing at {path}, and no notebook of such a name.").format(path=path)
        )
        self.finish(json.dumps({"message": hint, "path": near, "label": _("Open {name}").format(name=near)}))


def find_near(root: Path, path: str) -> str:
    """Return the notebook below a folder that a wrong path may stand for, or "".

    Args:
        path: with "/", as it stands in an address; it need not be of a notebook.

    First one of the same name, then of the same number, then of a like name, then the index; where there are several,
    the one whose folder is named in the path.
    """
    wanted, asked = PurePosixPath(path), set(PurePosixPath(path).parts)
    there = list_notebooks(root)
    there.sort(key=lambda each: (not asked & set(PurePosixPath(each).parts[:-1]), each.count("/"), each))
    stems = {each: PurePosixPath(each).stem for each in there}
    number = wanted.stem.partition("-")[0]
    like = difflib.get_close_matches(wanted.stem, [*stems.values()], n=1)
    for fits in (
        lambda stem: stem == wanted.stem,
        lambda stem: number.isdigit() and stem.partition("-")[0] == number,
        lambda stem: stem in like,
        lambda stem: stem == "index",
    ):
        for each, stem in stems.items():
            if fits(stem):
                return each
    return ""


def list_notebooks(root: Path) -> list[str]:
    """Return the notebooks below a folder as addresses; hidden folders and what was put aside are left out."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        below = Path(folder).relative_to(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name != "earlier" and len(below.parts) < DEPTH
        )
        found += [(below / name).as_posix() for name in sorted(files) if name.endswith(".ipynb")]
    return found
