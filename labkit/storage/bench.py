"""How long an image takes to be written, without the host's page cache, measured with qemu-img bench.

Source: QEMU docs/tools/qemu-img.rst (bench).
Knows: qemu-img's words. Must not know: libvirt, plans, what is compared.
"""

from __future__ import annotations

import re
from pathlib import Path

from labkit.errors import HostTrouble
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.model.image import Format
from labkit.storage.process import run

_SECONDS = re.compile(r"completed in ([0-9.]+) seconds")


def time_writes(
    path: Path, format: Format, *, count: int, size: int = 4096, step: int | None = None, limit: Limit = NO_LIMIT
) -> float:
    """Write requests in order from the start of an image, many in flight, and return the seconds they took.

    What the image held there is overwritten. The page cache is left out where the file system allows it.

    Args:
        path: absolute; no machine may use it. count: requests. size: bytes of each.
        step: bytes from one to the next; None: they touch.

    Raises:
        HostTrouble, NoSpace: the host's. Cancelled, TimedOut: the limit's.
    """
    argv = [
        *("qemu-img", "bench", "-w", "-f", format.driver, "-c", str(count), "-s", str(size)),
        *("-S", str(step or size)),
    ]
    try:
        told = run([*argv, "-t", "none", str(path)], limit=limit).output
    except HostTrouble as trouble:
        if "O_DIRECT" not in trouble.details and "direct" not in trouble.details:
            raise
        told = run([*argv, "-t", "writethrough", str(path)], limit=limit).output
    found = _SECONDS.search(told)
    if found is None:
        raise HostTrouble(
            _("qemu-img bench told no time."), _("Type ./lab doctor: it looks at the versions."), details=told
        )
    return float(found[1])
