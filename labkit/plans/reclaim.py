"""Which files are needed: the pure functions from which all deleting and merging follows.

An image is *alive* if it is a root or a root depends on it. Roots are the active images of machines, the
free disks, the frozen images of snapshots, and what domains of others name. Data moves only up, never down: an
anonymous layer (alive, but not a root) with exactly one child may be merged into that child.

An act deletes only what it made unneeded itself: images of its own disks that were alive before it (`find_unneeded`).
What nobody needed before is an *orphan*: no act touches it, nor what it stands on. And since others may act between the
plan and the deleting, the question is asked again right before (`sort_out`).

Knows: the model. Must not know: how files are deleted or merged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.model.disk import disk_name, image_number
from labkit.model.image import ImageFacts
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState, alive_among


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """What there is to delete and to merge when only some images are roots.

    Attributes:
        dead: images nothing needs, absolute paths, children before parents.
        anonymous: layers that are not roots, with their only child: (layer, child), top → base.
        shared: those with several children: (layer, children), top → base.
    """

    dead: tuple[str, ...] = ()
    anonymous: tuple[tuple[str, str], ...] = ()
    shared: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Need(StrEnum):
    """Why a file that an act was to delete stays."""

    NAMED = "named"
    """A machine or a snapshot names it, or stands on it."""
    ACT = "act"
    """Another act is at work with it, or was interrupted."""
    BELOW = "below"
    """A file that this act may not delete stands on it."""
    HELD = "held"
    """A process has it open."""
    FOLDER = "folder"
    """It is a folder, and not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """Which of some files may be deleted now.

    Attributes:
        doomed: those that may, in the order given. spared: why the others stay, by path.
    """

    doomed: tuple[str, ...] = ()
    spared: Mapping[str, Need] = field(default_factory=dict)


def reclaim(images: Mapping[str, ImageFacts], roots: Iterable[str]) -> Reclaim:
    """Return what is dead and what may be merged.

    Args:
        images: all images by path. roots: paths that somebody needs; those that are not among the images are ignored.
    """
    wanted = set(roots)
    alive = alive_among(images, wanted)
    children: dict[str, list[str]] = {}
    for path in alive:
        backing = images[path].backing
        if backing is not None:
            children.setdefault(backing, []).append(path)
    dead = sorted(set(images) - alive, key=lambda path: -depth(images, path))
    nameless = sorted(alive - wanted, key=lambda path: (-depth(images, path), path))
    single = [(path, children[path][0]) for path in nameless if len(children.get(path, ())) == 1]
    shared = [(path, tuple(sorted(children[path]))) for path in nameless if len(children.get(path, ())) > 1]
    return Reclaim(dead=tuple(dead), anonymous=tuple(single), shared=tuple(shared))


def find_unneeded(
    state: LabState,
    roots: Iterable[str],
    disks: Collection[str],
    *,
    machine: str = "",
    goes: bool = False,
    then: Mapping[str, ImageFacts] | None = None,
) -> tuple[str, ...]:
    """Return the images that an act makes unneeded and may delete as its own, children before parents.

    What a snapshot kept that only the record still knows stays, although it was alive: it can come back.

    Args:
        roots: what is still needed after the act. disks: the names of the act's own disks.
        machine: the id of the machine that it is about, "" for a free disk.
        goes: whether that machine is removed, with all its snapshots.
        then: the images that the act changes, as they are after it.
    """
    orphans = set(state.images) - state.alive
    images = {**state.images, **(then or {})}
    wanted = orphans.union(roots, state.aside, state.remembered(but=machine if goes else ""))
    dead = reclaim(images, wanted | hidden_below(state, images, wanted)).dead
    own = [path for path in dead if _is_own(state, path, disks, machine)]
    below = alive_among(images, images.keys() - set(own))  # what others' images stand on, even if it is the act's own
    return tuple(path for path in own if path not in below)


def _is_own(state: LabState, path: str, disks: Collection[str], machine: str) -> bool:
    """Whether an image was made for an act's own disks or machine, by the record or else by the name of its file.

    One of our disks may have gone to another machine, with its images; and the file name says nothing if another
    program named the image.
    """
    made = state.made.get(path)
    if machine and made and made.machine_id and image_number(path) < 0:
        return made.machine_id == machine
    return disk_name(path) in disks


def hidden_below(state: LabState, images: Mapping[str, ImageFacts], needed: Collection[str]) -> frozenset[str]:
    """Return the images that may lie below one that is needed and missing or unreadable.

    What such an image stands on is unknown until it is brought back: it may be any image that ever froze. In an older
    folder under newer definitions it may also be one that a snapshot names and that was not frozen yet.
    """
    folder = f"{state.home}/disks/"
    named = {backing for path in alive_among(images, needed) if (backing := images[path].backing)}.union(needed)
    lost = {path for path in named - images.keys() - state.pending if path.startswith(folder)}
    if not lost:
        return frozenset()
    below = {image.backing for image in images.values()}
    return frozenset(path for path, image in images.items() if image.frozen or path in below | state.kept)


def own_disks(machine: MachineFacts, tree: SnapshotTree) -> frozenset[str]:
    """Return the names of a machine's own disks: those it has now, and those its snapshots have.

    The names in its images' file names count too: these keep the disk's old name when the machine is renamed.
    """
    specs = [machine.spec, *(node.spec for node in tree.values()), *([machine.live] if machine.live else [])]
    used = [disk for spec in specs for disk in spec.disks if not disk.served]
    return frozenset(name for disk in used for name in (disk.name, disk_name(disk.path)))


def sort_out(state: LabState, files: Iterable[str], named: Collection[str]) -> Reclaimed:
    """Return which of the files that an act is about to delete nobody needs.

    Args:
        state: read after everything else of the act was done. files: those to delete; of images, all their files.
        named: the files that other acts in the journal name.
    """
    wanted = tuple(dict.fromkeys(files))
    going = {path for path, image in state.images.items() if set(image.files) & set(wanted)}
    staying = set(state.images) - going
    needed_now = state.needed | hidden_below(state, state.images, state.needed)
    reasons = {Need.NAMED: needed_now, Need.ACT: set(named), Need.BELOW: staying}
    spared: dict[str, Need] = {}
    for reason, needed in reasons.items():
        alive = alive_among(state.images, needed)
        kept = {file for path in alive & going for file in state.images[path].files} | set(needed)
        spared |= {path: reason for path in wanted if path in kept and path not in spared}
    return Reclaimed(doomed=tuple(path for path in wanted if path not in spared), spared=spared)


def depth(images: Mapping[str, ImageFacts], path: str) -> int:
    """Return how many layers lie below an image."""
    count = 0
    image = images.get(path)
    while image is not None and image.backing is not None and count <= len(images):
        count += 1
        image = images.get(image.backing)
    return count
