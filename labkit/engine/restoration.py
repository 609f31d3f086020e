"""Restoring a lab whose folder no longer says which lab it is, or that came back from a backup.

Knows: the record, older records, what libvirt knows. Must not know: who asks.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from labkit.engine.at_rest import as_known, check_all_off, check_nothing_begun, how_to_end, open_again
from labkit.engine.locks import lab_lock
from labkit.engine.older import join_older, put_aside_older, read_older
from labkit.engine.place import Place, find_twin, here, place_file, read_place, write_place
from labkit.engine.record_file import read_record, write_record
from labkit.engine.workspace import open_workspace
from labkit.errors import HostTrouble, WrongState
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.recording import find_owners, read_machines
from labkit.language import _
from labkit.model.record import LabRecord, MachineRecord
from labkit.storage.files import host_errors
from labkit.storage.whole_files import free_name


def restore_lab(home: Path, connection: Connection) -> list[str]:
    """Make a lost `lab.json` again, or restore machines from records put aside; returns what was done, a sentence each.

    Raises:
        WrongState: there is nothing to restore. HostTrouble: nothing shows which lab it is.
    """
    try:
        place = read_place(home)
    except FileNotFoundError:
        pass
    except HostTrouble:
        with host_errors(home):
            place_file(home).rename(free_name(place_file(home), "unreadable"))
    else:
        return _restore_from_record(home, place, connection)
    record = read_record(home)
    owners = frozenset({record.lab_id}) if record else find_owners(connection, str(home))
    if len(owners) != 1:
        raise HostTrouble(
            _(
                "Nothing tells which lab {home} is: it has no record, and no machine of libvirt has its disks there."
            ).format(home=home),
            _("Bring lab.json back from a backup; or take the disks into another lab, with lab.disks.import_file."),
        )
    path = record.home if record else str(home)
    found = Place(id=next(iter(owners)), path=path)
    if find_twin(home, found) is not None:
        found = replace(found, path="")  # another folder is this lab, too: opening it will ask
    write_place(home, here(home, found) if found.path == str(home) else found)
    return [_("{home} is the lab {id} again.").format(home=home, id=found.id)]


def _restore_from_record(home: Path, place: Place, connection: Connection) -> list[str]:
    """Restore machines from all records that were put aside when the folder was brought back from a backup.

    These hold the machines that libvirt knew in another state. The other machines stay as they are now.
    """
    workspace = open_workspace(home.name, home.parent)
    if not list(read_older(workspace)):  # it has not been opened since
        put_aside_older(workspace, connection)
    with lab_lock(workspace.locks):
        check_nothing_begun(home, how_to_end(home))
        older, record = [path for path, _record in read_older(workspace)], join_older(workspace)
        if record is None:
            raise WrongState(
                _("There is nothing to restore of the lab {name}: its folder says which lab it is.").format(
                    name=home.name
                ),
                _("Open it: Lab.open({name!r}).").format(name=home.name),
            )
        known = read_machines(connection, place.id)
        check_all_off(connection, replace(record, machines=(*record.machines, *known.values())))
        now = read_record(home)
        if now is not None:
            shutil.copyfile(home / "record.json", free_name(home / "record.json", "newer"))
        others = {id_: each for id_, each in known.items() if record.find(id_) is None}
        write_record(home, _with_others(record, now, as_known(home, now or record, connection, others)))
        domains = Domains(connection)
        for id_ in known.keys() - others.keys():
            domains.undefine(id_)
        for path in older:
            path.rename(free_name(home / "record.json", "used"))
    told = _("The machines of the lab {name} are as the folder's own record tells.")
    return [told.format(name=home.name), *open_again(workspace, connection)]


def _with_others(record: LabRecord, now: LabRecord | None, others: tuple[MachineRecord, ...]) -> LabRecord:
    """An older record, with the other machines as they are now."""
    ids = {each.id for each in others}
    machines = (*others, *record.machines)
    lost = [each for each in record.lost if each.machine_id not in ids]
    lost += [each for each in now.lost if each.machine_id in ids] if now else []
    made = {**(now.made if now else {}), **record.made}
    return replace(record, machines=tuple(sorted(machines, key=lambda each: each.name)), lost=tuple(lost), made=made)
