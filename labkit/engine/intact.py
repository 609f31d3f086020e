"""Whether the images that a step is about to read are still intact: checked again right before the step.

Another program may write to a frozen image after the plan was made. The check costs a look at each file's size and
time.
Knows: steps, seals, headers. Must not know: how a step is carried out, what happens to an act that stops here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from labkit.engine.seals import find_changed
from labkit.errors import LabError, WrongState
from labkit.language import _
from labkit.plans.steps import Step
from labkit.storage.headers import read_chain


def check_intact(home: str, steps: Iterable[Step]) -> None:
    """Raise an error if a frozen file that steps read is gone, cannot be read, or holds something else.

    Args:
        home: the lab's folder; files elsewhere are not checked.

    Raises:
        WrongState, HostTrouble: the message names the file.
    """
    why = why_not_intact(home, steps)
    if why is not None:
        raise WrongState(why, _("Make the plan again: it says how to go on."))


def why_not_intact(home: str, steps: Iterable[Step]) -> str | None:
    """Return why steps cannot be done, or None; see `check_intact`."""
    disks, memory = Path(home, "disks"), Path(home, "memory")
    files: dict[str, None] = {}
    for step in steps:
        files |= dict.fromkeys(path for path in step.touches.reads if Path(path).parent in (disks, memory))
        for path, format in step.touches.stands_on:
            top = Path(path)
            if top.parent != disks or not top.exists():  # does not exist yet: an earlier step makes it
                continue
            try:
                files |= dict.fromkeys(file for layer in read_chain(top, format) for file in layer.files)
            except FileNotFoundError as error:
                return _("The image {file} is gone.").format(file=Path(error.filename or top).name)
            except LabError as error:
                return error.message
    changed = find_changed(disks, files)
    if not changed:
        return None
    return _("The frozen file {file} was changed by another program.").format(file=Path(changed[0]).name)
