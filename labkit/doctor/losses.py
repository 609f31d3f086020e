"""What is lost: images that somebody needs and that are gone or damaged, and the seals of a lab.

Knows: the rooms below. Must not know: widgets, how what is lost is brought back.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from labkit.engine.workspace import list_labs
from labkit.errors import LabError
from labkit.language import _, ngettext
from labkit.model.diagnosis import Check, Status
from labkit.model.lineage import read_lineage
from labkit.model.losses import Loss, find_losses
from labkit.plans.accepting import say_seals_are_gone


def check_losses(labs: Path, uri: str) -> Check:
    """Check whether every image that somebody needs is there and can be read."""
    from labkit.engine.session import read_lab  # needs libvirt, without which the doctor must work

    slug = "losses"
    found: dict[str, tuple[Loss, ...]] = {}
    for name in list_labs(labs):
        with contextlib.suppress(LabError):  # other checks say what is wrong with such a lab
            if losses := find_losses(read_lineage(read_lab(name, home=labs, uri=uri))):
                found[name] = losses
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("Every image that somebody needs is there."))
    name, losses = next(iter(found.items()))
    count = sum(map(len, found.values()))
    machine, disk = next((pair for loss in losses for pair in loss.disks), ("…", "…"))
    relink = f'lab.machines["{machine}"].relink("{disk}", "…")'
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=ngettext(
            "{count} image that is needed is lost, in: {names}.",
            "{count} images that are needed are lost, in: {names}.",
            count,
        ).format(count=count, names=", ".join(found)),
        cause=_("{sentence} Bring the file back, or say where it is now: {call}.").format(
            sentence=losses[0].sentence, call=relink
        ),
    )


def check_seals(labs: Path, uri: str) -> Check:
    """Check whether every lab has the seals of its frozen images."""
    from labkit.engine.session import read_lab  # needs libvirt, without which the doctor must work

    slug = "seals"
    for name in list_labs(labs):
        with contextlib.suppress(LabError):  # other checks say what is wrong with such a lab
            if said := say_seals_are_gone(read_lab(name, home=labs, uri=uri)):
                what = _("{lab}: {what}").format(lab=name, what=said[0])
                return Check(slug=slug, status=Status.NOTE, what=what, cause=said[1])
    return Check(slug=slug, status=Status.OK, what=_("Every lab knows what its frozen images were."))
