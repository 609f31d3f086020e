"""Whether a lab is at rest, with no act begun and no machine on: checked before its folder is moved or restored.

Knows: the record, the journal, what libvirt knows of a lab. Must not know: what is done to the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from labkit.engine.executor import Executor
from labkit.engine.journal import read_entries
from labkit.engine.place import command
from labkit.engine.saved_memory import keep_saved
from labkit.engine.workspace import Workspace
from labkit.errors import WrongState
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import find_pid
from labkit.hypervisor.recording import read_saved, with_uri
from labkit.language import _, ngettext
from labkit.model.record import LabRecord, MachineRecord


def open_again(workspace: Workspace, connection: Connection) -> list[str]:
    """Bring back the machines that the record knows and the hypervisor does not."""
    executor = Executor(workspace, Domains(connection))
    executor.enter()
    return executor.told


def check_nothing_begun(home: Path, hint: str) -> None:
    """Raise WrongState, with this hint, if an act in the lab has begun and not ended."""
    if entries := read_entries(home / "journal"):
        titles = ", ".join(entry.plan.title for entry in entries)
        raise WrongState(
            ngettext(
                "An act of the lab {name} has begun and not ended: {acts}.",
                "Acts of the lab {name} have begun and not ended: {acts}.",
                len(entries),
            ).format(name=home.name, acts=titles),
            hint,
        )


def how_to_end(home: Path) -> str:
    """The hint for `check_nothing_begun` if the lab is this computer's own."""
    return _(
        "Open the lab, which ends it; what this computer did not begin in this folder {command} shows, ends or drops."
    ).format(command=f"{command('restore', home)} --journal")


def how_to_end_before_copying(home: Path, original: Path | None) -> str:
    """The hint for `check_nothing_begun` if the lab is a copy. `original`: the folder it is a copy of; None: gone."""
    if original is None:
        return _(
            "The lab it was copied from is gone, so this can be the lab itself: {move}. Then {command} ends it."
        ).format(move=command("move", home), command=f"{command('restore', home)} --journal")
    return _(
        "Open the lab in {old}, which ends it; what this computer did not begin there {command} shows, ends or drops. "
        "Then copy the folder again."
    ).format(old=original, command=f"{command('restore', original)} --journal")


def as_known(
    home: Path, record: LabRecord, connection: Connection, known: Mapping[str, MachineRecord]
) -> tuple[MachineRecord, ...]:
    """The machines that libvirt knows, as it knows them, without those that are just being brought back."""
    known = {id_: each for id_, each in known.items() if (then := record.find(id_)) is None or not then.returning}
    kept = keep_saved(home, connection, known, {id_: record.find(id_) for id_ in known})
    return tuple(with_uri(each, instance="", uri=connection.uri) for each in kept.values())


def check_all_off(connection: Connection, record: LabRecord) -> None:
    """Raise WrongState if a machine of the lab is on, or saved where its folder cannot keep the memory."""
    running = sorted({each.name for each in record.machines if find_pid(each.id) is not None})
    if running:
        raise WrongState(
            ngettext("{machines} is on.", "{machines} are on.", len(running)).format(machines=", ".join(running)),
            ngettext(
                "Shut it down where it runs, then do this again.",
                "Shut them down where they run, then do this again.",
                len(running),
            ),
        )
    here = {each.id: each for each in record.machines}
    kept = {id_ for id_, each in here.items() if each.saved and each.saved.in_folder}
    if saved := [here[id_].name for id_ in read_saved(connection) - kept if id_ in here]:
        raise WrongState(
            ngettext(
                "{machines} is saved, and libvirt has its memory where the lab's folder cannot keep it.",
                "{machines} are saved, and libvirt has their memory where the lab's folder cannot keep it.",
                len(saved),
            ).format(machines=", ".join(saved)),
            ngettext(
                "Put the folder back, let it go on and shut it down; then do this again.",
                "Put the folder back, let them go on and shut them down; then do this again.",
                len(saved),
            ),
        )
