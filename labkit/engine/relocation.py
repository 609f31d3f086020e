"""Making a moved, copied or carried folder a lab where it is now; and letting a lab go.

First the record is changed to the new place, whole or not at all; then files and definitions follow, machine by
machine, in steps that may be repeated; last `lab.json` is written. So after any interruption the same command goes on
where it was, and everything it needs is in the record. Of a copy's original only the definitions are read, and nothing
is changed.
Knows: the rooms below. Must not know: who asks.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from pathlib import Path

from labkit.engine.at_rest import (
    as_known,
    check_all_off,
    check_nothing_begun,
    how_to_end,
    how_to_end_before_copying,
    open_again,
)
from labkit.engine.executor import Executor
from labkit.engine.folders import data_folder
from labkit.engine.following import follow, own_files
from labkit.engine.journal import read_entries
from labkit.engine.lease import lease_of
from labkit.engine.lease_files import drop_all
from labkit.engine.locks import find_busy, lab_lock
from labkit.engine.older import put_aside_older
from labkit.engine.place import (
    Place,
    Standing,
    command,
    find_standing,
    here,
    read_place,
    write_place,
)
from labkit.engine.record_file import read_record, read_writer, write_record
from labkit.engine.workspace import Workspace, open_workspace
from labkit.errors import Busy, LabError, WrongState
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.instances import Instance, find_instances
from labkit.hypervisor.record_xml import copy_record, move_record
from labkit.hypervisor.recording import (
    read_machines,
)
from labkit.language import _, ngettext
from labkit.model.record import LabRecord
from labkit.storage.files import host_errors


def settle_place(workspace: Workspace, connection: Connection) -> list[str]:
    """Record the place of a lab that is being opened; returns sentences for its user.

    If another path leads to the same folder and the old one no longer does, its definitions follow. If the folder is an
    older one from a backup and libvirt knows a newer state, whose images are missing, a sentence says so.
    """
    home = workspace.home
    place = read_place(home)
    now = replace(here(home, place), let_go=False)
    if place.path not in ("", str(home)):
        return move_lab(home, connection)
    if place != now:
        with contextlib.suppress(LabError):  # a lab that may only be read can be opened all the same
            write_place(home, now)
    return put_aside_older(workspace, connection)


def move_lab(home: Path, connection: Connection) -> list[str]:
    """Make a moved folder the lab at its new place; returns what was done, a sentence each.

    Raises:
        WrongState: a machine of it is on, or the lab is still at its old place. Busy: an act is under way in it.

    An act that was interrupted at the old place moves along and counts as foreign from now on: it is ended on request
    (`foreign_acts`).
    """
    place = read_place(home)
    if find_standing(home, place) is Standing.COPIED:
        raise WrongState(
            _("The lab is still in {old}: this folder is a copy of it.").format(old=place.path),
            _("Make it a lab of its own: {command}. Or remove the other folder, if this one is the lab.").format(
                command=command("copy", home)
            ),
        )
    workspace = _workspace(home, place.id)
    lease_of(workspace.locks).require()
    with lab_lock(workspace.locks):
        _check_nobody_at_work(workspace)
        known = read_machines(connection, place.id)
        record = _read(home, place.id, place.path)
        old = place.path or record.home
        elsewhere = record.writer not in ("", read_writer(workspace.locks, connection.uri))
        newer = {id_: each for id_, each in known.items() if not (elsewhere and record.find(id_))}
        seen = as_known(home, record, connection, newer)  # not those worked on elsewhere since
        check_all_off(connection, replace(record, machines=(*record.machines, *seen)))
        moved = _move(record, replace(record, machines=seen, lost=(), home=old), home)
        write_record(home, moved)
        for instance in find_instances(home / "instances"):  # before `follow` removes their folders
            Instance(folder=Path(old) / "instances" / instance.folder.name).end_running()
        follow(home, moved, old)
        domains = Domains(connection)
        for machine in moved.machines:
            if (there := known.get(machine.id)) is not None and there.xml != machine.xml:
                domains.undefine(machine.id)
        write_place(home, replace(here(home, place), let_go=False))
    return [_("The lab {name} is in {home} now.").format(name=home.name, home=home), *open_again(workspace, connection)]


def copy_lab(home: Path, connection: Connection, *, keep_identity: bool = False) -> list[str]:
    """Make a copy of a lab's folder a lab of its own; returns what was done, a sentence each.

    Args:
        keep_identity: whether its guests keep the identities on their disks, as twins of the originals.

    Raises:
        WrongState: it is not a copy, or an act was under way when it was made.
    """
    place = read_place(home)
    if place.path == str(home):
        raise WrongState(
            _("{home} is the lab itself, not a copy of it.").format(home=home),
            _("Copy the folder first, say with cp -a, then name the copy."),
        )
    workspace = _workspace(home, place.id)
    with lab_lock(workspace.locks):
        copied = find_standing(home, place) is Standing.COPIED
        if copied:
            drop_all(workspace.locks)  # the copied files are about the original
        lease_of(workspace.locks).require()
        check_nothing_begun(home, how_to_end_before_copying(home, Path(place.path) if copied else None))
        own_files(home)
        record = _read(home, place.id, place.path)
        old = place.path or record.home  # one that was restored no longer says where it was
        if record.lab_id == place.id and record.home != str(home):  # else an earlier attempt has got this far
            if read_record(home) is None:
                record = replace(record, machines=tuple(read_machines(connection, place.id).values()))
            new_id = str(uuid.uuid4())
            ids = {machine.id: str(uuid.uuid4()) for machine in record.machines}
            ids |= {lost.machine_id: str(uuid.uuid4()) for lost in record.lost if lost.machine_id not in ids}
            genids = {} if keep_identity else {id_: str(uuid.uuid4()) for id_ in ids}
            new = copy_record(
                record, home=str(home), lab=home.name, lab_id=new_id, ids=ids, genids=genids, keep=keep_identity
            )
            write_record(home, new)
            record = new
        follow(home, record, old)
        write_place(home, here(home, Place(id=record.lab_id)))
    workspace = replace(workspace, id=record.lab_id)
    count = len(record.machines)
    told = ngettext(
        "The lab {name} is a lab of its own now, with {count} machine; the original was left as it is.",
        "The lab {name} is a lab of its own now, with {count} machines; the original was left as it is.",
        count,
    )
    return [told.format(name=home.name, count=count), *open_again(workspace, connection)]


def let_go(home: Path, connection: Connection) -> list[str]:
    """Let the hypervisor forget a lab's machines; the folder stays whole, and they come back when it is opened.

    Raises:
        WrongState: a machine of it is on or saved.
    """
    workspace = open_workspace(home.name, home.parent)
    place = read_place(workspace.home)
    with lab_lock(workspace.locks):
        check_nothing_begun(workspace.home, how_to_end(workspace.home))
        executor = Executor(workspace, Domains(connection))
        executor.recorder.note()
        record = executor.recorder.read()
        check_all_off(connection, record)
        write_place(workspace.home, replace(here(workspace.home, place), let_go=True))
        for machine in record.machines:
            with contextlib.suppress(LabError):  # it is not known here (any more)
                executor.domains.undefine(machine.id)
    count = len(record.machines)
    told = ngettext(
        "libvirt has let go of {count} machine of the lab {name}; its folder {home} is whole.",
        "libvirt has let go of {count} machines of the lab {name}; its folder {home} is whole.",
        count,
    )
    back = ngettext(
        "Open it again, here or elsewhere, and it is back.",
        "Open it again, here or elsewhere, and they are back.",
        count,
    )
    return [told.format(count=count, name=home.name, home=workspace.home), back]


def _workspace(home: Path, lab_id: str) -> Workspace:
    for part in ("disks", "memory", "consoles", "journal", "locks"):
        with host_errors(home / part):
            (home / part).mkdir(mode=0o700, exist_ok=True)
    return Workspace(name=home.name, id=lab_id, home=home, images=data_folder() / "images")


def _check_nobody_at_work(workspace: Workspace) -> None:
    """Raise Busy if a kernel is still at work in the folder, although it has been renamed."""
    for entry in read_entries(workspace.journal):
        if find_busy(workspace.locks, entry.plan.locks):
            raise Busy(
                _("{act} is just being done in this lab.").format(act=entry.plan.title),
                _("Wait until it has ended, or end the kernel that does it."),
            )


def _read(home: Path, lab_id: str, path: str) -> LabRecord:
    return read_record(home) or LabRecord(lab_id=lab_id, home=path or str(home))


def _move(record: LabRecord, seen: LabRecord, home: Path) -> LabRecord:
    """The record moved to where the lab is now: machines that libvirt knows as it knows them, the others as recorded.

    The two may have different paths, if an earlier attempt moved one and not the other.
    """
    there, known = (move_record(each, home=str(home), lab=home.name) for each in (record, seen))
    ids = {each.id for each in known.machines}
    machines = [*known.machines, *(each for each in there.machines if each.id not in ids)]
    return replace(there, machines=tuple(sorted(machines, key=lambda each: each.name)))
