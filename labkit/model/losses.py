"""What is lost: images that somebody needs and that are missing or cannot be read.

Knows: the lineage. Must not know: what is refused because of it, how it is repaired.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from labkit.language import _, ngettext
from labkit.model.disk import find_missing
from labkit.model.lineage import Lineage, LineageNode, NodeKind
from labkit.model.points import span
from labkit.model.replaced import Replaced, say_what_stands


class LossKind(StrEnum):
    """What is wrong with an image that is needed."""

    GONE = "gone"
    DAMAGED = "damaged"
    """Its file is there, but does not begin as an image does."""
    OUTSIDE = "outside"
    """It lies outside the lab's folder, where labkit does not look after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An image that is needed and cannot be used.

    Attributes:
        path: its file, absolute. kind: what is wrong with it.
        replaced: what is there instead, where that is not a file.
        needed_by: the machines, snapshots and free disks that need it, sorted.
        disks: the disks that read it now, as machine and disk name, sorted: those whose `relink` can bring it back.
    """

    path: str
    kind: LossKind
    needed_by: tuple[LineageNode, ...]
    disks: tuple[tuple[str, str], ...] = ()
    replaced: Replaced | None = None

    @property
    def file(self) -> str:
        """Its name, without folders."""
        return posixpath.basename(self.path)

    @property
    def what(self) -> str:
        """What is wrong, in a sentence."""
        says = {
            LossKind.GONE: _("The image {file} is gone."),
            LossKind.DAMAGED: _("The image {file} is there but cannot be read: {why}."),
            LossKind.OUTSIDE: _("The image {file} lies outside of the lab: nobody looks after it."),
        }[self.kind]
        file = self.path if self.kind is LossKind.OUTSIDE else self.file
        return says.format(file=file, why=say_what_stands(self.replaced))

    @property
    def sentence(self) -> str:
        """What is wrong and who needs the image, in sentences."""
        who = ngettext("{names} needs it.", "{names} need it.", len(self.needed_by))
        return _("{what} {who}").format(what=self.what, who=who.format(names=span(self.needed_by)))


def find_losses(lineage: Lineage) -> tuple[Loss, ...]:
    """Return all images of a lab that are needed and cannot be used, by path."""
    state = lineage.state
    needing: dict[str, set[LineageNode]] = {}
    disks: dict[str, set[tuple[str, str]]] = {}
    for path, node in _points(lineage):
        if lost := find_missing(state.images, path):
            needing.setdefault(lost, set()).add(node)
    for name, machine in state.everywhere.items():
        for disk in machine.spec.disks:
            if not disk.served and (lost := find_missing(state.images, disk.path)):
                disks.setdefault(lost, set()).add((name, disk.name))
    return tuple(
        Loss(
            path=path,
            kind=_kind(lineage, path),
            needed_by=tuple(sorted(nodes)),
            disks=tuple(sorted(disks.get(path, ()))),
            replaced=state.replaced.get(path),
        )
        for path, nodes in sorted(needing.items())
    )


def losses_of(lineage: Lineage, machine: str) -> tuple[Loss, ...]:
    """Return the images that a machine or one of its snapshots needs and cannot use, by path."""
    return tuple(loss for loss in find_losses(lineage) if any(node.machine == machine for node in loss.needed_by))


def _points(lineage: Lineage) -> Iterator[tuple[str, LineageNode]]:
    """The images that machines, snapshots and free disks name directly."""
    return ((needed.name, point) for needed, point in lineage.points() if needed.kind is NodeKind.IMAGE)


def _kind(lineage: Lineage, path: str) -> LossKind:
    if path in lineage.state.damaged:
        return LossKind.DAMAGED
    inside = posixpath.join(lineage.state.home, "")
    return LossKind.GONE if path.startswith(inside) else LossKind.OUTSIDE


__all__ = ["Loss", "LossKind", "find_losses", "losses_of"]
