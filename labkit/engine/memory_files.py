"""Looking into a memory file before anything is discarded for it.

Knows: the rooms below. Must not know: plans, seals.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from labkit.errors import LabError
from labkit.hypervisor.domain_xml import find_disk_files
from labkit.hypervisor.record_trust import find_strange_things
from labkit.storage.memory_file import has_stream, read_header


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the definition in a memory file names.

    Attributes:
        images: the names of its disk images.
        strange: files, programs and devices that are not the lab's, which the hypervisor would use.
    """

    images: frozenset[str]
    strange: frozenset[str]


def look_inside(file: Path, home: Path) -> Inside | None:
    """Return what a memory file names, or None if it is not a memory file, or damaged.

    Args:
        home: the lab's folder.
    """
    try:
        info = os.stat(file)
        return _look(str(file), str(home), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    except OSError:
        return None


@lru_cache(maxsize=1000)
def _look(file: str, home: str, *_mark: int) -> Inside | None:
    """Cached until the file changes."""
    path = Path(file)
    try:
        header = read_header(path)
        if not has_stream(path, header):
            return None
        images = frozenset(Path(each).name for each in find_disk_files(header.xml))
        return Inside(images=images, strange=find_strange_things(header.xml, home))
    except (ValueError, LabError):
        return None
