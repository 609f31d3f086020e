"""Looking into a file with a guest's memory before anything is given up for it.

Knows: the rooms below. Must not know: plans, seals.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from labkit.errors import LabError
from labkit.hypervisor.domain_xml import find_disk_files
from labkit.storage.memory_file import has_stream, read_header


def look_inside(file: Path) -> frozenset[str] | None:
    """Return the names of the disk images that a memory file belongs to; None: it is none, or damaged."""
    try:
        info = os.stat(file)
        return _look(str(file), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    except OSError:
        return None


@lru_cache(maxsize=1000)
def _look(file: str, *_mark: int) -> frozenset[str] | None:
    """Once for each change of the file."""
    path = Path(file)
    try:
        header = read_header(path)
        if not has_stream(path, header):
            return None
        return frozenset(Path(each).name for each in find_disk_files(header.xml))
    except (ValueError, LabError):
        return None
