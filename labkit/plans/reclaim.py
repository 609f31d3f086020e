"""What files are needed: one pure function from which all deleting and merging follows.

An image is *alive* if it is a root or a root depends on it. Roots are the active images of machines, the
free disks and the frozen images of snapshots. What is not alive is deleted. Data moves only up, never down:
an anonymous layer (alive, no root) with exactly one child may be merged into that child.

Knows: the model. Must not know: how files are deleted or merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.model.image import ImageFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """The work that is left when only some images are roots.

    Attributes:
        dead: images nothing needs, absolute paths, children before parents.
        anonymous: layers that are no point any more, with their only child: (layer, child), top → base.
        shared: those with several children: (layer, children), top → base.
    """

    dead: tuple[str, ...] = ()
    anonymous: tuple[tuple[str, str], ...] = ()
    shared: tuple[tuple[str, tuple[str, ...]], ...] = ()


def reclaim(images: Mapping[str, ImageFacts], roots: Iterable[str]) -> Reclaim:
    """Return what may be deleted and merged.

    Args:
        images: all images by path. roots: paths that somebody needs; those not among the images are foreign.
    """
    wanted = set(roots)
    alive: set[str] = set()
    for root in wanted:
        path: str | None = root
        while path is not None and path in images and path not in alive:
            alive.add(path)
            path = images[path].backing
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


def depth(images: Mapping[str, ImageFacts], path: str) -> int:
    """Return how many layers lie below an image."""
    count = 0
    image = images.get(path)
    while image is not None and image.backing is not None and count <= len(images):
        count += 1
        image = images.get(image.backing)
    return count
