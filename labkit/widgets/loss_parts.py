"""What panels show of lost images: the file, who needs it, and the form that brings it back.

Each is a function of values. Knows: lineages, losses. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.language import _
from labkit.model.lineage import Lineage
from labkit.model.losses import Loss, LossKind, losses_of
from labkit.model.state import LabState
from labkit.plans.accepting import say_seals_are_gone
from labkit.widgets import parts
from labkit.widgets.tree import Child, Node, tag


def render_losses(losses: Sequence[Loss], *, more: Child = None) -> Node | None:
    """Return a sentence for each loss, with `more` beneath; nothing if nothing is lost."""
    if not losses and more is None:
        return None
    lines = [tag("p", tag("strong", "⚠ "), loss.sentence) for loss in losses]
    return tag("div", *lines, more, class_="labkit-note", role="status")


def render_seals(state: LabState) -> Child:
    """Return what to say if all seals of a lab are gone, with what to do; nothing if they are there."""
    said = say_seals_are_gone(state)
    return tag("p", tag("strong", "⚠ "), " ".join(said)) if said else None


def why_not_start(losses: Sequence[Loss], machine: str) -> str | None:
    """Return which lost image keeps a machine from starting, or None."""
    return next((loss.what for loss in losses if any(name == machine for name, _disk in loss.disks)), None)


def render_losses_of(lineage: Lineage, machine: str, *, busy: str | None) -> Node | None:
    """Return what a machine needs and cannot use, with the form that brings it back."""
    losses = losses_of(lineage, machine)
    if not losses:
        return None
    ours = (loss.disks for loss in losses if loss.kind is not LossKind.OUTSIDE)
    disks = [disk for pairs in ours for name, disk in pairs if name == machine]
    return render_losses(losses, more=render_relink(machine, disks, busy=busy))


def render_relink(machine: str, disks: Sequence[str], *, busy: str | None) -> Node | None:
    """Return the form that puts a file in the place of a lost base; nothing if there is no disk for it."""
    if not disks:
        return None
    return parts.form(
        "relink",
        _("Relink…"),
        parts.choices(_("Disk"), "disk", [(disk, disk) for disk in disks], class_="labkit-wide"),
        parts.field(_("Where the file is now"), "file", "", class_="labkit-wide"),
        busy=busy,
        tip=_("Only a file that is proven to hold the same is taken."),
        key=f"relink {machine}",
        subject=machine,
    )
