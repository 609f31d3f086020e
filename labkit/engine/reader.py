"""Reading what is there: libvirt and the image headers into one `LabState`.

Knows: where each part is read from. Must not know: what is done with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from labkit.engine.instances import Elsewhere, Instances
from labkit.engine.journal import find_entries, find_plans, find_unfinished, read_entry
from labkit.engine.locks import find_busy
from labkit.engine.workspace import Workspace
from labkit.errors import HostTrouble, LabError
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshot_reading import read_dropped
from labkit.hypervisor.snapshots import Snapshots
from labkit.model.disk import disk_name
from labkit.model.image import ImageFacts
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState, OpenAct
from labkit.plans.steps import DropRecords
from labkit.storage import nbd
from labkit.storage.files import list_files
from labkit.storage.guest_images import read_guest_images
from labkit.storage.headers import read_chain, read_folder


def read_state(workspace: Workspace, domains: Domains, trees: Snapshots, instances: Instances) -> LabState:
    """Return the lab as it is now; images that an act is just making are not there yet."""
    machines, others, elsewhere = _read_machines(workspace, domains, instances)
    unfinished = find_unfinished(workspace.journal)
    images = {path: image for path, image in read_folder(workspace.disks).items() if path not in unfinished}
    snapshots = trees.read_trees({machine.id: name for name, machine in machines.items()})
    snapshots |= _find_dropped(workspace, machines)
    elsewhere_snapshots = {**elsewhere.snapshots, **_find_dropped(workspace, elsewhere.machines)}
    everywhere = {**elsewhere.machines, **machines}
    every_tree = {**elsewhere_snapshots, **snapshots}
    images |= _find_foreign(workspace, everywhere, every_tree, images)
    known = {file for image in images.values() for file in image.files} | unfinished
    known |= {machine.spec.console_log for machine in everywhere.values() if machine.spec.console_log}
    memories = (node.memory for tree in every_tree.values() for node in tree.nodes.values())
    known |= {memory for memory in memories if memory}
    return LabState(
        lab=workspace.name,
        lab_id=workspace.id,
        home=str(workspace.home),
        machines=machines,
        snapshots=snapshots,
        images=images,
        guest_images=read_guest_images(workspace.images),
        taken_names=others,
        served=_find_served(workspace, images),
        memories=frozenset(list_files(workspace.memory)),
        busy=find_busy(workspace.locks, machines),
        acts=tuple(_find_acts(workspace)),
        instance=instances.own,
        elsewhere=elsewhere.machines,
        elsewhere_snapshots=elsewhere_snapshots,
        places=elsewhere.places,
        unreachable=elsewhere.unreachable,
        instances={name: str(instances.folder(name)) for name in instances.names()},
        strays=tuple(
            path for path in list_files(workspace.disks, workspace.memory, workspace.consoles) if path not in known
        ),
    )


def _read_machines(
    workspace: Workspace, domains: Domains, instances: Instances
) -> tuple[dict[str, MachineFacts], frozenset[str], Elsewhere]:
    """The machines here, the names of other domains here, and the machines on the lab's other instances.

    One that goes over meanwhile would be seen on no side, so it is looked again until nothing has moved.
    """
    machines, others = domains.read_all(workspace.id)
    if instances.is_alone:
        return machines, others, Elsewhere()
    while True:
        before, elsewhere = machines, instances.read_elsewhere()
        machines, others = domains.read_all(workspace.id)
        if machines.keys() == before.keys():
            return machines, others, elsewhere


def _find_acts(workspace: Workspace) -> Iterator[OpenAct]:
    """The acts in the journal: whoever is at one holds its locks."""
    for path in find_entries(workspace.journal):
        with contextlib.suppress(HostTrouble):
            if entry := read_entry(path):
                plan = entry.plan
                yield OpenAct(
                    act=plan.act,
                    subject=plan.subject,
                    names=plan.names,
                    done=entry.done,
                    steps=len(plan.steps),
                    at_work=bool(find_busy(workspace.locks, plan.locks)),
                )


def _find_dropped(workspace: Workspace, machines: Mapping[str, MachineFacts]) -> dict[str, SnapshotTree]:
    """The trees of machines that are just going over: meanwhile only the journal knows them."""
    names = {machine.id: name for name, machine in machines.items()}
    steps = (step for plan in find_plans(workspace.journal) for step in plan.steps if isinstance(step, DropRecords))
    return {names[step.machine_id]: read_dropped(step.records) for step in steps if step.machine_id in names}


def _find_foreign(
    workspace: Workspace,
    machines: Mapping[str, MachineFacts],
    snapshots: Mapping[str, SnapshotTree],
    images: Mapping[str, ImageFacts],
) -> dict[str, ImageFacts]:
    """The images in the lab's folder that a tool has named in its own way when it took a snapshot."""
    specs = [machine.spec for machine in machines.values()]
    specs += [node.spec for tree in snapshots.values() for node in tree.nodes.values()]
    used = {disk.path: disk.format for spec in specs for disk in spec.disks if not disk.served}
    found: dict[str, ImageFacts] = {}
    for path, format in used.items():
        if path not in images and path.startswith(f"{workspace.disks}/"):
            with contextlib.suppress(OSError, LabError):
                found |= {image.path: image for image in read_chain(Path(path), format) if image.path not in images}
    return found


def _find_served(workspace: Workspace, images: Mapping[str, ImageFacts]) -> dict[str, str]:
    if not workspace.sockets.is_dir():
        return {}
    names = {disk_name(path) for path in images}
    sockets = {name: workspace.socket(name) for name in sorted(names)}
    return {name: str(socket) for name, socket in sockets.items() if socket.exists() and nbd.is_alive(socket)}
