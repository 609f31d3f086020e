"""What steps are carried out with that are about files alone, where no hypervisor is.

Knows: the context of steps. Must not know: which steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from labkit.engine.context import Context
from labkit.engine.workspace import Workspace
from labkit.limits import NO_LIMIT, Limit, unheard
from labkit.model.state import LabState


def files_context(home: Path, read: Callable[[], LabState], limit: Limit = NO_LIMIT) -> Context:
    """Return a context for the files of a lab; a step that reaches for a hypervisor raises."""
    return Context(
        workspace=Workspace(name="default", id="lab-id", home=home, images=home / "images"),
        read=read,
        domains=cast("Any", None),
        snapshots=cast("Any", None),
        instances=cast("Any", None),
        on_bytes=unheard,
        limit=limit,
    )
