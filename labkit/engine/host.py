"""The host of a lab: its accelerator, chosen by a probe guest, and its facts.

Knows: which guest probes, and where the answer is kept. Must not know: how probing works.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.hypervisor.accelerator import find_accelerator
from labkit.model.host import AcceleratorFacts, HostFacts
from labkit.storage.guest_images import read_guest_images

if TYPE_CHECKING:
    from labkit.hypervisor.connection import Connection

PROBE = "tiny"
"""The guest that tries KVM out: an operating system, since a boot sector may run where no operating system does."""


def choose_accelerator(images: Path) -> AcceleratorFacts:
    """Return the accelerator for new machines; only the first call after a boot of the host takes time.

    Args:
        images: the folder of guest images.
    """
    probe = read_guest_images(images).get(PROBE)
    return find_accelerator(probe_image=probe, cache=images.parent / "accelerator.json")


def read_host(connection: Connection, images: Path) -> HostFacts:
    """Return the facts of this computer and of its hypervisor."""
    from labkit.hypervisor import host
    from labkit.hypervisor.capabilities import read_versions

    return host.read_host(choose_accelerator(images), connection.read(read_versions))
