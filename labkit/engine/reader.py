"""Reading what is there: libvirt and the image headers into one `LabState`.

Knows: where each part is read from. Must not know: what is done with it.
"""

from __future__ import annotations

from labkit.engine.locks import find_busy
from labkit.engine.workspace import Workspace
from labkit.hypervisor.domains import Domains
from labkit.model.state import LabState
from labkit.storage.guest_images import read_guest_images
from labkit.storage.headers import read_folder


def read_state(workspace: Workspace, domains: Domains) -> LabState:
    """Return the lab as it is now."""
    machines, others = domains.read_all(workspace.id)
    return LabState(
        lab=workspace.name,
        lab_id=workspace.id,
        home=str(workspace.home),
        machines=machines,
        images=read_folder(workspace.disks),
        guest_images=read_guest_images(workspace.images),
        taken_names=others,
        busy=find_busy(workspace.locks, machines),
    )
