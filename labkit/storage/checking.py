"""What qemu-img says of images: whether they are sound, whether two are alike, what they are.

Source: QEMU docs/tools/qemu-img.rst (check, compare, info).
Knows: qemu-img's words. Must not know: libvirt, plans.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Format
from labkit.storage.process import run


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCheck:
    """What qemu-img finds in an image's own tables: how many errors, and whether the format can be checked at all."""

    errors: int
    known: bool = True


def check(path: Path, format: Format, *, limit: Limit = NO_LIMIT) -> ImageCheck:
    """Check an image's own tables; the guest's data in it are not looked at.

    Raises:
        HostTrouble: it cannot be read. Cancelled, TimedOut: from the limit.
    """
    argv = ["qemu-img", "check", "--output=json", "-f", format.driver, str(path)]
    done = run(argv, limit=limit, accept=(0, 2, 3, 63))
    if done.code == 63:
        return ImageCheck(errors=0, known=False)
    told = json.loads(done.output)
    return ImageCheck(errors=told.get("corruptions", 0) + told.get("check-errors", 0))


def compare(one: Path, one_format: Format, other: Path, other_format: Format, *, limit: Limit = NO_LIMIT) -> bool:
    """Whether a guest would read the same from two images; what a longer one has in addition must be zeros.

    Raises:
        HostTrouble: one cannot be read. Cancelled, TimedOut: from the limit.
    """
    argv = ["qemu-img", "compare", "-f", one_format.driver, "-F", other_format.driver, str(one), str(other)]
    return run(argv, limit=limit, accept=(0, 1)).code == 0


def info(path: Path, format: Format, *, limit: Limit = NO_LIMIT) -> dict[str, Any]:
    """Return what `qemu-img info --output=json` says of an image; it may be in use, since it is only read.

    Raises:
        HostTrouble: it cannot be read. Cancelled, TimedOut: from the limit.
    """
    argv = ["qemu-img", "info", "-U", "--output=json", "-f", format.driver, str(path)]
    told: dict[str, Any] = json.loads(run(argv, limit=limit).output)
    return told
