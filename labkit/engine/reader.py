"""Reading libvirt and the image headers into one `LabState`.

Knows: where each part is read from. Must not know: what is done with it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from labkit.engine.instances import Elsewhere, Instances
from labkit.engine.journal import Entry, find_named, find_unfinished, read_count, read_entries
from labkit.engine.lease import lease_of
from labkit.engine.locks import find_busy
from labkit.engine.older import find_aside
from labkit.engine.out_of_reach import see, see_all
from labkit.engine.recorded import find_forgotten, find_made, find_recorded, find_unreturned
from labkit.engine.seals import file_of, find_seals
from labkit.engine.workspace import Workspace
from labkit.errors import LabError
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.snapshot_reading import read_dropped
from labkit.hypervisor.snapshots import DomainSnapshots
from labkit.model.disk import disk_name, extent_path
from labkit.model.image import Format, ImageFacts
from labkit.model.machine import MachineFacts
from labkit.model.mapped import files_beside
from labkit.model.replaced import Replaced
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState, OpenAct
from labkit.plans.broken import find_frozen
from labkit.plans.steps import DropRecords
from labkit.storage import nbd
from labkit.storage.atomic import draft_folder
from labkit.storage.files import list_files
from labkit.storage.guest_images import read_guest_images
from labkit.storage.headers import is_image_name, leads_elsewhere, read_folder, read_image

_KINDS = {stat.S_IFLNK: Replaced.LINK, stat.S_IFDIR: Replaced.FOLDER}


def read_state(
    workspace: Workspace, domains: Domains, trees: DomainSnapshots, instances: Instances, *, looks: int = 5
) -> LabState:
    """Return the lab as it is now; images that an act is just making do not exist in it yet.

    It is one consistent cut: no act began, did a step or ended while it was read. If one did, everything is read again;
    nobody has to wait for a reader.

    Args:
        looks: how often to read at most; after that the state is marked as unsettled.
    """
    while True:
        count = read_count(workspace.journal)
        state = _read_once(workspace, domains, trees, instances)
        looks -= 1
        if read_count(workspace.journal) == count:
            return state
        if looks <= 0:
            return replace(state, unsettled=True)


def _read_once(workspace: Workspace, domains: Domains, trees: DomainSnapshots, instances: Instances) -> LabState:
    entries = read_entries(workspace.journal)
    unfinished, pending = find_unfinished(entries), find_named(entries)
    folder = {path: image for path, image in read_folder(workspace.disks).items() if path not in unfinished}
    machines, others, elsewhere = _read_machines(workspace, domains, instances)
    snapshots = trees.read_trees({machine.id: name for name, machine in machines.items()})
    snapshots |= _find_dropped(entries, machines)
    elsewhere_snapshots = {**elsewhere.snapshots, **_find_dropped(entries, elsewhere.machines)}
    everywhere = {**elsewhere.machines, **machines}
    every_tree = {**elsewhere_snapshots, **snapshots}
    made = find_made(workspace.home)
    images, outside, claimed = _follow(workspace, _named_images(everywhere, every_tree, others), folder, unfinished)
    images = {path: each.made(made[path].allocation) if path in made else each for path, each in images.items()}
    damaged = _find_damaged(workspace, everywhere, every_tree, images, pending | unfinished)
    strays = _find_strays(workspace, everywhere, every_tree, images, pending | claimed | damaged)
    damaged |= {path for path in strays if is_image_name(path)}
    state = LabState(
        lab=workspace.name,
        lab_id=workspace.id,
        home=str(workspace.home),
        machines=machines,
        snapshots=snapshots,
        images=images,
        guest_images=read_guest_images(workspace.images),
        taken_names=frozenset(others),
        served=_find_served(workspace, images),
        memories=frozenset(list_files(workspace.memory)),
        busy=find_busy(workspace.locks, machines),
        acts=tuple(_describe(workspace, entry) for entry in entries),
        instance=instances.own,
        elsewhere=elsewhere.machines,
        elsewhere_snapshots=elsewhere_snapshots,
        places=elsewhere.places,
        unreachable=elsewhere.unreachable,
        instances={name: str(instances.folder(name)) for name in instances.names()},
        strays=tuple(strays),
        damaged=damaged,
        replaced=_find_replaced(damaged),
        stray_bytes=strays,
        claimed=claimed,
        outside=outside,
        pending=pending,
        sealed=bool(find_seals(workspace.disks)),
        given=frozenset(str(file_of(workspace.disks, name)) for name in find_seals(workspace.disks))
        | find_recorded(workspace.home),
        made=made,
        forgotten=find_forgotten(
            workspace.home,
            workspace.images,
            {machine.id: every_tree.get(name, SnapshotTree()) for name, machine in everywhere.items()},
            frozenset(name for entry in entries for name in entry.plan.names),
        ),
        aside=find_aside(workspace),
        unreturned=find_unreturned(workspace.home, frozenset(machine.id for machine in everywhere.values())),
    )
    return state if state.sealed or find_frozen(state) else replace(state, sealed=True)


def _read_machines(
    workspace: Workspace, domains: Domains, instances: Instances
) -> tuple[dict[str, MachineFacts], Mapping[str, frozenset[str]], Elsewhere]:
    """The machines here, other domains and the files they need, and the machines on the lab's other instances.

    A machine that migrates meanwhile might be seen on neither side, so they are read again until nothing has moved.
    """
    machines, others = domains.read_all(workspace.id, str(workspace.home))
    if instances.is_alone:
        return see_all(machines, domains, lease_of(workspace.locks).guests_elsewhere()), others, Elsewhere()
    while True:
        before, elsewhere = machines, instances.read_elsewhere()
        machines, others = domains.read_all(workspace.id, str(workspace.home))
        if machines.keys() == before.keys():
            here, there = _see_both(workspace, domains, instances, machines, elsewhere)
            return here, others, there


def _see_both(
    workspace: Workspace,
    domains: Domains,
    instances: Instances,
    machines: Mapping[str, MachineFacts],
    elsewhere: Elsewhere,
) -> tuple[dict[str, MachineFacts], Elsewhere]:
    """The machines of both sides, with those out of reach; one that both sides know is just migrating."""
    away = lease_of(workspace.locks).guests_elsewhere()
    both = {facts.id for facts in machines.values()} & {facts.id for facts in elsewhere.machines.values()}
    here = {name: facts if facts.id in both else see(facts, domains, away) for name, facts in machines.items()}
    there = dict(elsewhere.machines)
    for name, facts in elsewhere.machines.items():
        if facts.id not in both and elsewhere.places[name] not in elsewhere.unreachable:
            there[name] = see(facts, instances.domains(elsewhere.places[name]), away)
    return here, replace(elsewhere, machines=there)


def _describe(workspace: Workspace, entry: Entry) -> OpenAct:
    """An act in the journal; somebody is at work on it if its locks are held."""
    plan = entry.plan
    return OpenAct(
        act=plan.act,
        subject=plan.subject,
        names=plan.names,
        done=entry.done,
        steps=len(plan.steps),
        at_work=entry.ours and bool(find_busy(workspace.locks, plan.locks)),
    )


def _find_dropped(entries: Iterable[Entry], machines: Mapping[str, MachineFacts]) -> dict[str, SnapshotTree]:
    """The trees of machines that are just migrating, which only the journal knows meanwhile."""
    names = {machine.id: name for name, machine in machines.items()}
    ours = (entry for entry in entries if entry.ours)
    steps = (step for entry in ours for step in entry.plan.steps if isinstance(step, DropRecords))
    return {names[step.machine_id]: read_dropped(step.records) for step in steps if step.machine_id in names}


def _named_images(
    machines: Mapping[str, MachineFacts], snapshots: Mapping[str, SnapshotTree], others: Mapping[str, frozenset[str]]
) -> dict[str, Format | None]:
    """The images that definitions and snapshots name, both ours and other domains', with their formats."""
    specs = [spec for machine in machines.values() for spec in (machine.spec, machine.live) if spec]
    specs += [node.spec for tree in snapshots.values() for node in tree.nodes.values()]
    named: dict[str, Format | None] = {path: None for paths in others.values() for path in paths}
    return named | {disk.path: disk.format for spec in specs for disk in spec.disks if not disk.served}


def _follow(
    workspace: Workspace, named: Mapping[str, Format | None], folder: Mapping[str, ImageFacts], hidden: Collection[str]
) -> tuple[dict[str, ImageFacts], dict[str, ImageFacts], frozenset[str]]:
    """Follow named images down to their bases, whichever tool made them and whatever their names are.

    Args:
        named: images by path. folder: those in the lab's folder with names like ours. hidden: those still being made.

    Returns:
        All images in the lab's folder; those outside that the lab's own definitions need; and those in the folder that
        other domains name or that files outside stand on.
    """
    images, outside = dict(folder), dict[str, ImageFacts]()
    inside = f"{workspace.home}/"
    claimed = {path for path, format in named.items() if format is None and path.startswith(inside)}
    below = [(image.backing, image.backing_format, True) for image in folder.values() if image.backing]
    todo = [*((path, format, format is not None) for path, format in named.items()), *below]
    seen: set[tuple[str, bool]] = set()
    while todo:
        path, format, ours = todo.pop()
        if path in images or (path, ours) in seen or path in hidden:
            continue
        seen.add((path, ours))
        with contextlib.suppress(OSError, LabError):
            # An image that others name without a format can stand on one of ours only if it is qcow2.
            image = read_image(Path(path), format or Format.QCOW2)
            if path.startswith(f"{workspace.disks}/"):
                images[path] = image
            elif ours:
                outside[path] = image
            if path not in images and image.backing and image.backing.startswith(inside):
                claimed.add(image.backing)
            if image.backing:
                todo.append((image.backing, image.backing_format, ours))
    return images, outside, frozenset(claimed)


def _find_damaged(
    workspace: Workspace,
    machines: Mapping[str, MachineFacts],
    snapshots: Mapping[str, SnapshotTree],
    images: Mapping[str, ImageFacts],
    busy: Collection[str],
) -> frozenset[str]:
    """The files in the lab's folder that somebody needs as images, and that exist but cannot be read as such."""
    needed = {*_named_images(machines, snapshots, {}), *(image.backing for image in images.values() if image.backing)}
    unread = (path for path in needed - images.keys() if path.startswith(f"{workspace.disks}/") and path not in busy)
    return frozenset(path for path in unread if os.path.lexists(path))


def _find_replaced(paths: Iterable[str]) -> dict[str, Replaced]:
    """Those of some paths that are no images of the lab though they are there, with what they are instead."""
    found: dict[str, Replaced] = {}
    for path in paths:
        with contextlib.suppress(OSError):  # it has just gone
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode):
                found[path] = _KINDS.get(stat.S_IFMT(mode), Replaced.OTHER)
            elif not os.access(path, os.R_OK):
                found[path] = Replaced.LOCKED
            elif leads_elsewhere(Path(path)):
                found[path] = Replaced.FOREIGN
    return found


def _find_strays(
    workspace: Workspace,
    machines: Mapping[str, MachineFacts],
    snapshots: Mapping[str, SnapshotTree],
    images: Mapping[str, ImageFacts],
    busy: Collection[str],
) -> dict[str, int]:
    """The other files in the lab's folders, which belong to nothing, with the bytes that the host gives them."""
    known = {file for image in images.values() for file in image.files}
    nodes = [node for tree in snapshots.values() for node in tree.nodes.values()]
    specs = [spec for machine in machines.values() for spec in (machine.spec, machine.live) if spec]
    known |= {disk.path for spec in (*specs, *(node.spec for node in nodes)) for disk in spec.disks}
    known |= {path for path in (*(spec.console_log for spec in specs), *(node.memory for node in nodes)) if path}
    known.update(files_beside(list_files(workspace.memory)))  # they belong to that memory
    made = {str(draft_folder(Path(path))) for path in busy} | {extent_path(path) for path in busy}
    found: dict[str, int] = {}
    for path in list_files(workspace.disks, workspace.memory, workspace.consoles):
        if path not in known and path not in busy and path not in made:
            with contextlib.suppress(OSError):  # it has just gone
                found[path] = os.lstat(path).st_blocks * 512
    return found


def _find_served(workspace: Workspace, images: Mapping[str, ImageFacts]) -> dict[str, str]:
    if not workspace.sockets.is_dir():
        return {}
    names = {disk_name(path) for path in images}
    sockets = {name: workspace.socket(name) for name in sorted(names)}
    return {name: str(socket) for name, socket in sockets.items() if socket.exists() and nbd.is_alive(socket)}
