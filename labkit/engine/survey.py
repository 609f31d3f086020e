"""Measuring what a plan needs to know of the host.

Knows: where it is measured. Must not know: what the plan makes of it.
"""

from __future__ import annotations

import psutil

from labkit.engine.host import choose_accelerator
from labkit.engine.workspace import Workspace
from labkit.plans.machine import Survey
from labkit.storage.files import free_bytes


def survey_host(workspace: Workspace) -> Survey:
    """Return the host's memory, CPUs, free space and accelerator."""
    return Survey(
        host_memory=psutil.virtual_memory().total,
        host_cpus=psutil.cpu_count() or 1,
        free_bytes=free_bytes(workspace.home),
        accelerator=choose_accelerator(workspace.images).accelerator,
    )
