"""Reading what is there: libvirt and the image headers into one `LabState`.

Knows: where each part is read from. Must not know: what is done with it.
"""

from __future__ import annotations

from labkit.engine.journal import find_unfinished
from labkit.engine.locks import find_busy
from labkit.engine.workspace import Workspace
from labkit.hypervisor.domains import Domains
from labkit.model.state import LabState
from labkit.storage.guest_images import read_guest_images
from labkit.storage.headers import read_folder


def read_state(workspace: Workspace, domains: Domains) -> LabState:
    """Return the lab as it is now; images that an act is just making are not there yet."""
    machines, others = domains.read_all(workspace.id)
    unfinished = find_unfinished(workspace.journal)
    return LabState(
        lab=workspace.name,
        lab_id=workspace.id,
        home=str(workspace.home),
        machines=machines,
        images={path: image for path, image in read_folder(workspace.disks).items() if path not in unfinished},
        guest_images=read_guest_images(workspace.images),
        taken_names=others,
        busy=find_busy(workspace.locks, machines),
    )
