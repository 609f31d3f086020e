"""Steps that are done at the same time: the overlays of several disks.

Knows: which steps do not need each other. Must not know: how they are done.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from labkit.engine.context import Context
from labkit.engine.steps import do_step
from labkit.plans.steps import CreateOverlay, Step


def count_together(steps: Sequence[Step]) -> int:
    """Return how many of the next steps can be done at the same time, at least 1."""
    overlays = itertools.takewhile(lambda step: isinstance(step, CreateOverlay), steps)
    return max(1, sum(1 for _ in overlays))


def do_together(steps: Sequence[Step], contexts: Sequence[Context]) -> None:
    """Do steps at the same time, each with its own context; all have ended when this returns or raises."""
    if len(steps) == 1:
        do_step(steps[0], contexts[0])
        return
    with ThreadPoolExecutor(max_workers=min(len(steps), os.cpu_count() or 1)) as pool:
        for future in [pool.submit(do_step, step, each) for step, each in zip(steps, contexts, strict=True)]:
            future.result()
