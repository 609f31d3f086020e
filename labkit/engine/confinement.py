"""An act writes and deletes only inside its lab: checked here, before an act begins and before recovery ends it.

The exceptions: an export's one target, boot files in the folder of guest images, and sockets that labkit itself has
made. Links are followed: a folder whose link leads out of the lab is not inside it.

Knows: the lab's folder. Must not know: how steps are carried out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import assert_never

from labkit.engine.workspace import Workspace
from labkit.errors import Refused
from labkit.language import _
from labkit.plans.plan import Plan
from labkit.plans.steps import Outside, Step
from labkit.printing import quote

_SERVED = re.compile(r"[0-9a-f]{12}\.nbd")
_ARRIVAL = re.compile(r"[0-9a-f]{8}\.in/s")


def check_confined(plan: Plan, workspace: Workspace) -> None:
    """Make sure that a plan stays inside its lab.

    Raises:
        Refused: it does not.
    """
    if path := find_outside(plan, workspace):
        raise Refused(
            _("{act} is not done: {path} does not lie in the lab's folder {home}.").format(
                act=plan.title, path=path, home=workspace.home
            ),
            _way_back(Path(path)),
            plan=plan,
        )


def _way_back(path: Path) -> str:
    if path.is_symlink():
        return _(
            "It is a link. Put the file itself in its place: {move}. Or remove the link, without which the image is "
            "gone: {remove}."
        ).format(move=f"mv {quote(os.readlink(path))} {quote(str(path))}", remove=f"rm {quote(str(path))}")
    return _("An act writes and deletes in its own lab only. Is a folder of the lab a link to elsewhere?")


def find_outside(plan: Plan, workspace: Workspace) -> str | None:
    """Return the first path outside its lab that a plan writes or deletes, or None."""
    resolve = cache(_resolve_folder)
    home = workspace.home.resolve()
    if plan.steps and Path(plan.home).resolve() != home:
        return plan.home
    for path in (path for step in plan.steps for path in step.touches.confined):
        if not _is_in(Path(path), home, resolve(Path(path).parent)):
            return path
    return next(_odd_sockets_and_boot_files(plan.steps, workspace), None)


def _resolve_folder(folder: Path) -> Path:
    return folder.resolve()


def _is_in(path: Path, home: Path, folder: Path) -> bool:
    """Whether a file is in a lab: its folder is, links followed, and the file itself is not a link."""
    inside = path.is_absolute() and ".." not in path.parts and folder.is_relative_to(home)
    return inside and (not path.is_symlink() or path.resolve().is_relative_to(home))


def _odd_sockets_and_boot_files(steps: tuple[Step, ...], workspace: Workspace) -> Iterator[str]:
    for place, path in (each for step in steps for each in step.touches.elsewhere):
        if not _is_ours(place, Path(path), workspace):
            yield path


def _is_ours(place: Outside, path: Path, workspace: Workspace) -> bool:
    """Whether an act may make or remove a file outside the lab's folder for the reason it gives."""
    match place:
        case Outside.EXPORT:
            return True  # wherever its owner wants it
        case Outside.SERVED:
            ours = path.parent.parts[-2:] == ("labkit", workspace.id[:8])
            return ours and _SERVED.fullmatch(path.name) is not None
        case Outside.ARRIVAL:
            return _ARRIVAL.fullmatch("/".join(path.parts[-2:])) is not None
        case Outside.BOOT_FILE:
            folder = path.parent.resolve()
            return folder.is_relative_to(workspace.images.resolve()) or _is_in(path, workspace.home.resolve(), folder)
        case _:
            assert_never(place)
