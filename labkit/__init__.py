"""A laboratory for a course on virtualization: real virtual machines in JupyterLab.

    from labkit import Lab
    lab = Lab.open()
    vm = lab.create("web").start().wait_ready()
    vm.run("uname -r").stdout

Knows: the names that users import. Must not know: anything heavy (libvirt, matplotlib and networkx load when first
used).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Lab", "__version__"]

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from labkit.engine.progress import OnProgress
    from labkit.lab import Lab


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from labkit.lab import Lab

        if "ipykernel" in sys.modules:
            from labkit.engine.progress import watch_with

            watch_with(_show)
        return Lab
    raise AttributeError(name)


def _show(title: str, bytes_copied: int, cancel: threading.Event | None) -> AbstractContextManager[OnProgress | None]:
    """Show the progress of an act that a notebook cell is waiting for."""
    from labkit.widgets.plain import show

    return show(title, bytes_copied, cancel)
