"""Small files that say what a lab is: written whole or not at all. They are read through `bounded.py`.

Knows: files. Must not know: what is in them.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.storage.files import open_draft, sync_folder


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, durably, for us alone."""
    draft = path.with_name(f"{path.name}.part")
    try:
        with open_draft(draft) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def free_name(path: Path, ending: str) -> Path:
    """Return a name beside a file that is not taken: what was put aside before is never overwritten."""
    names = (path.with_name(f"{path.name}.{number}.{ending}") for number in range(1, 10_000))
    return next(name for name in names if not os.path.lexists(name))
