"""An older folder that was brought back from a backup: told where it matters, its record kept until somebody takes it.

Knows: the record, definitions. Must not know: who opens the lab.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from labkit.engine.place import command
from labkit.engine.record_file import read_record, write_record
from labkit.engine.seals import find_seals
from labkit.engine.workspace import Workspace
from labkit.errors import LabError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.recording import active_images, find_lost_images, read_machines
from labkit.language import _
from labkit.model.record import MachineRecord
from labkit.storage.whole_files import free_name


def find_older(workspace: Workspace, connection: Connection) -> list[str]:
    """Put aside what the record of an older folder says of the machines for which it is whole, and tell of them."""
    home = workspace.home
    with contextlib.suppress(LabError):  # a record that cannot be read is told where it is needed
        record = read_record(home)
        known = read_machines(connection, workspace.id) if record and record.machines else {}
        both = [(each, known[each.id]) for each in record.machines if each.id in known] if record else []
        older = [(then, now) for then, now in both if _is_whole(then) and (_find_gone(now) - _find_gone(then))]
        if not older:
            return []
        record = replace(record, machines=tuple(then for then, _now in older)) if record else None
        if record and not any(read_record(home, path.name) == record for path in home.glob("record.json.*.older")):
            write_record(home, record, free_name(home / "record.json", "older").name)
        sentence = _(
            "libvirt's definition of {machine} names {image}, which is not in the folder: an older folder was brought "
            "back. libvirt's definition holds; {command} takes the folder's own record."
        )
        return [
            sentence.format(
                machine=now.name,
                image=os.path.basename(min(_find_gone(now))),
                command=command("restore", home),
            )
            for _then, now in older
        ]
    return []


def find_thawed(workspace: Workspace, kept: frozenset[str]) -> frozenset[str]:
    """Return which of the images that snapshots keep are older than their snapshots: not frozen in an older folder.

    A record that came with the folder has them as active images of its machines, and they have no seal: what was
    written to them until the snapshot was taken is not in them.
    """
    thawed: set[str] = set()
    for path in workspace.home.glob("record.json.*.older"):
        with contextlib.suppress(LabError):
            record = read_record(workspace.home, path.name)
            active = {image for machine in record.machines for image in active_images(machine)} if record else set()
            thawed |= {image for image in active & kept if os.path.basename(image) not in find_seals(workspace.disks)}
    return frozenset(thawed)


def _find_gone(machine: MachineRecord) -> set[str]:
    """The images that a machine and its snapshots name and that are not there."""
    return {path for path in find_lost_images(machine) if not os.path.lexists(path)}


def _is_whole(machine: MachineRecord) -> bool:
    return not _find_gone(machine)
