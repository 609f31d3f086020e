"""A laboratory for a course on virtualization: real virtual machines in JupyterLab.

    from labkit import Lab
    lab = Lab.open()
    vm = lab.create("web").start().wait_ready()
    vm.run("uname -r").stdout

Knows: its front door. Must not know: anything heavy — libvirt, matplotlib and networkx load when first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Lab", "__version__"]

if TYPE_CHECKING:
    from labkit.lab import Lab


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from labkit.lab import Lab

        return Lab
    raise AttributeError(name)
