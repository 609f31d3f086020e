"""Measuring what plans about disks need to know, and the map of a disk.

Knows: where to measure. Must not know: what plans make of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labkit.engine.deleting import is_in_use
from labkit.engine.session import Session
from labkit.engine.survey import find_broken
from labkit.model.foreign import Foreign
from labkit.model.image import Format, ImageFacts
from labkit.model.regions import Region
from labkit.model.state import LabState
from labkit.plans.disk import DiskSurvey
from labkit.storage import foreign, maps
from labkit.storage.files import free_bytes


def survey_disks(
    session: Session, mounted: Mapping[str, str] | None = None, *, frozen_in: LabState | None = None
) -> DiskSurvey:
    """Return the survey for plans about disks.

    Args:
        mounted: where a running guest has its disks mounted, by target.
        frozen_in: the state whose frozen images are checked against their seals; None: none are checked.
    """
    workspace = session.workspace
    changed = frozenset[str]() if frozen_in is None else find_broken(workspace, frozen_in)
    return DiskSurvey(free_bytes=free_bytes(workspace.home), mounted=mounted or {}, changed=changed)


def find_used(files: Iterable[str]) -> list[str]:
    """Return those of some files that a process has open."""
    return [file for file in files if is_in_use(file)]


def read_map(layers: Sequence[ImageFacts]) -> tuple[Region, ...]:
    """Return the map of a disk, see `storage.maps`.

    Args:
        layers: its images, top → base.
    """
    return maps.read_map(layers)


def inspect_file(path: Path, said: Format | None) -> Foreign:
    """Inspect an image file that somebody brought; it is read under limits and stays as it is.

    Args:
        said: its format as claimed; None: as its name or its own bytes say.

    Raises:
        NotFound: no such file. BadInput: not an image, or not what it is said to be.
    """
    return foreign.inspect(path, said)
