"""What all steps share: their phase, and commands as a person would type them.

Knows: text. Must not know: which steps there are.
"""

from __future__ import annotations

from enum import StrEnum

from labkit.model.image import Allocation, Format
from labkit.printing import quote


class Phase(StrEnum):
    """When a step runs, and what its failure means."""

    CREATE = "create"
    SWITCH = "switch"
    CLEAN_UP = "clean up"


def image_options(format: Format, allocation: Allocation) -> list[str]:
    """Return the options by which `qemu-img create` and `convert` make a fixed or a dynamic image."""
    fixed = {
        Format.RAW: ["preallocation=full"],
        Format.QCOW2: ["preallocation=full"],
        Format.VDI: ["static=on"],
        Format.VMDK: ["subformat=monolithicFlat"],
        Format.VHD: ["subformat=fixed"],
        Format.VHDX: ["subformat=fixed"],
    }
    return list(fixed[format]) if allocation is Allocation.FIXED else []


def line(*words: str) -> str:
    """Return a command line."""
    return " ".join(map(quote, words))
